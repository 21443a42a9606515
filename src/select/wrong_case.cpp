// SPDX-License-Identifier: BSL-1.0
// What is thrown when the value of a case is read that has not happened.

#include <sluice/detail/select/wrong_case.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include <limits>
#include <string>
#include <utility>

namespace sluice::detail {

namespace {

class wrong_case : public std::bad_optional_access {
 public:
  explicit wrong_case(std::string text) noexcept : text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

}  // namespace

void throw_wrong_case(std::size_t asked, std::size_t happened) {
  const bool none = happened == std::numeric_limits<std::size_t>::max();
  detail::throw_exception(
      wrong_case("sluice: get<" + std::to_string(asked) + "> of a select of which " +
                 (none ? std::string("no case") : "case " + std::to_string(happened)) +
                 " has happened: ask index() first"));
}

}  // namespace sluice::detail
