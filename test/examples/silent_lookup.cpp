// Loaded before the C library (LD_PRELOAD): every lookup of a name waits for an answer that does
// not come, as with a name server that is silent.
#include <netdb.h>
#include <unistd.h>

int getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) {
  for (;;) ::pause();
}
