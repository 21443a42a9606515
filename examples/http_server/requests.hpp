// SPDX-License-Identifier: BSL-1.0
// The requests and answers of the HTTP server: what Beast's parser does not see to.
#pragma once

#include <sluice.hpp>

#include <boost/asio/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using sluice::error_code;

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

/// A parser that knows where the trailer of a chunked body begins in what it is given.
class request_parser : public http::request_parser<http::string_body> {
 public:
  request_parser() { on_chunk_header(note_last_chunk_); }

  /// What of a text that it has just parsed is header or trailer.
  [[nodiscard]] std::string_view fields_of(std::string_view parsed, bool in_body) const {
    if (!in_body) return parsed;
    return trailer_ ? parsed.substr(static_cast<std::size_t>(trailer_ - parsed.data())) : "";
  }

 private:
  std::function<void(std::uint64_t, beast::string_view, error_code&)> note_last_chunk_ =
      [this](std::uint64_t size, beast::string_view extensions, error_code&) {
        if (size == 0) trailer_ = extensions.data() + extensions.size();
      };
  const char* trailer_ = nullptr;
};

inline response make_response(http::status status, std::string body) {
  response r(status, 11);
  r.set(http::field::content_type, "text/plain");
  r.body() = std::move(body);
  r.prepare_payload();
  return r;
}

inline response make_error(http::status status) {
  return make_response(status, std::string(http::obsolete_reason(status)) + '\n');
}

/// An error that ends the connection: where the next request would begin is unknown.
inline response make_refusal(http::status status) {
  response r = make_error(status);
  r.keep_alive(false);
  return r;
}

/// What to say about a request that could not be read; nothing if there is nobody to say it to.
inline std::optional<response> refusal(error_code e) {
  if (e == asio::error::timed_out) return make_refusal(http::status::request_timeout);
  if (e == http::error::header_limit)
    return make_refusal(http::status::request_header_fields_too_large);
  if (e == http::error::body_limit) return make_refusal(http::status::payload_too_large);
  if (e != http::error::end_of_stream &&
      e.category() == error_code(http::error::bad_method).category())
    return make_refusal(http::status::bad_request);
  return std::nullopt;
}

/// Whether a field Host can be one: a name or an address, perhaps a port (RFC 9110, 7.2).
inline bool is_host(std::string_view text) {
  const auto has_only = [](std::string_view s, std::string_view others) {
    return std::ranges::all_of(s, [&](unsigned char c) {
      return (c < 0x80 && std::isalnum(c)) || others.find(static_cast<char>(c)) != others.npos;
    });
  };
  std::string_view port;
  if (const auto colon = text.rfind(':'); colon != text.npos && !text.ends_with(']')) {
    port = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  if (!std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; })) return false;
  if (text.starts_with('[') && text.ends_with(']'))
    return has_only(text.substr(1, text.size() - 2), ":.-_~!$&'()*+;=");
  return has_only(text, ".-_~!$&'()*+;=%");
}

/// Whom a target in the absolute form names; nothing if it is in another form.
inline std::optional<std::string_view> authority_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!beast::iequals(target.substr(0, scheme.size()), scheme)) continue;
    const auto rest = target.substr(scheme.size());
    return rest.substr(0, rest.find_first_of("/?"));
  }
  return std::nullopt;
}

/// What is wrong with a header that could be read: RFC 9112, 3.2 and 6.1; RFC 9110, 10.1.1.
inline std::optional<http::status> objection(const request& asked) {
  const auto hosts = asked.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && asked.version() >= 11)) return http::status::bad_request;
  if (!is_host(asked[http::field::host])) return http::status::bad_request;
  const auto authority = authority_of(asked.target());
  if (authority && (authority->empty() || !is_host(*authority))) return http::status::bad_request;
  if (const auto codings = asked.count(http::field::transfer_encoding)) {
    // Where such a body ends, others may see differently.
    if (asked.version() < 11 || codings > 1 || asked.count(http::field::content_length))
      return http::status::bad_request;
    if (!beast::iequals(asked[http::field::transfer_encoding], "chunked"))
      return http::status::not_implemented;
  }
  const auto expected = asked.equal_range(http::field::expect);
  for (auto e = expected.first; e != expected.second; ++e)
    if (!beast::iequals(e->value(), "100-continue")) return http::status::expectation_failed;
  return std::nullopt;
}

/// Whether any of its fields Connection says so; Beast looks at the first.
inline bool asks_to_close(const request& asked) {
  const auto fields = asked.equal_range(http::field::connection);
  return std::any_of(fields.first, fields.second, [](const auto& field) {
    return http::token_list(field.value()).exists("close");
  });
}

/// Whether a field goes on in the next line (obs-fold, RFC 9112, 5.2), which Beast would let pass.
inline bool is_folded(std::string_view fields) {
  return fields.find("\n ") != fields.npos || fields.find("\n\t") != fields.npos;
}

/// The path of a target: without the query, and without what precedes it in the absolute form.
inline std::string_view path_of(std::string_view target) {
  if (const auto authority = authority_of(target))
    target.remove_prefix(
        static_cast<std::size_t>(authority->data() + authority->size() - target.data()));
  target = target.substr(0, target.find('?'));
  return target.empty() ? "/" : target;
}

/// Reads a decimal number of at most `limit`.
inline bool parse(std::string_view text, unsigned limit, unsigned& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number <= limit;
}

/// Some clients end a request with an empty line too many (RFC 9112, 2.2).
inline void skip_empty_lines(beast::flat_buffer& buffer, const request_parser& parser) {
  const auto begins = [&] {
    const auto data = buffer.cdata();
    return std::string_view(static_cast<const char*>(data.data()), data.size()).starts_with("\r\n");
  };
  while (!parser.got_some() && begins()) buffer.consume(2);
}
