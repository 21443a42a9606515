// Loaded before the C library (LD_PRELOAD): the host "two.addresses" has 127.0.0.2 and 127.0.0.1.
#include <dlfcn.h>
#include <netdb.h>

#include <cstring>

int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** result) {
  static const auto in_library =
      reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (!host || std::strcmp(host, "two.addresses") != 0)
    return in_library(host, service, hints, result);
  if (const int error = in_library("127.0.0.2", service, hints, result)) return error;
  addrinfo* last = *result;
  while (last->ai_next) last = last->ai_next;
  return in_library("127.0.0.1", service, hints, &last->ai_next);
}
