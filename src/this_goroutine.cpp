#include <sluice/this_goroutine.hpp>

#include <memory>
#include <utility>

namespace sluice::this_goroutine {

void set_name(std::string name) {
  detail::current_goroutine("sluice::this_goroutine::set_name").name =
      std::make_unique<std::string>(std::move(name));
}

}  // namespace sluice::this_goroutine
