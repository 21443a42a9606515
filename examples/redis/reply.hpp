// SPDX-License-Identifier: BSL-1.0
// What Redis answers.
#pragma once

#include <sluice/error.hpp>

#include <hiredis/hiredis.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// The server has understood the command, and says that it cannot be done.
class redis_error : public std::runtime_error {
 public:
  explicit redis_error(const std::string& text) : std::runtime_error("Redis says: " + text) {}
};

/// A reply or a part of one: text, a number, a list of parts, an error, or nothing.
/** Refers to the reply that it is part of. */
class redis_value {
 public:
  explicit redis_value(const redisReply& r) : r_(&r) {}

  [[nodiscard]] bool is_nothing() const { return r_->type == REDIS_REPLY_NIL; }
  /// Whether it is an error whose text begins so.
  [[nodiscard]] bool is_error(std::string_view beginning = "") const {
    return r_->type == REDIS_REPLY_ERROR && view().starts_with(beginning);
  }

  [[nodiscard]] std::string_view view() const {
    return r_->str ? std::string_view(r_->str, r_->len) : std::string_view();
  }
  [[nodiscard]] std::string text() const { return std::string(view()); }
  [[nodiscard]] long long number() const { return r_->integer; }

  /// How many parts it has.
  [[nodiscard]] std::size_t size() const { return r_->elements; }
  /// @throws std::out_of_range
  [[nodiscard]] redis_value at(std::size_t i) const {
    if (i >= size()) throw std::out_of_range("a reply of Redis has fewer parts than expected");
    return redis_value(*r_->element[i]);
  }

 private:
  const redisReply* r_;
};

/// A whole reply. One that was moved from is only to be destroyed.
class redis_reply : public redis_value {
 public:
  /// Nothing.
  redis_reply() : redis_value(nothing) {}
  /// Takes what hiredis' own holds, which is nothing then.
  explicit redis_reply(redisReply& r)
      : redis_reply(owner(new redisReply(std::exchange(r, nothing)))) {}

 private:
  /// Frees what hiredis has allocated, all but the reply itself.
  struct contents_freer {
    void operator()(redisReply* r) const {
      if (r->element)
        for (std::size_t i = 0; i < r->elements; ++i) freeReplyObject(r->element[i]);
      std::free(static_cast<void*>(r->element));
      std::free(r->str);
      delete r;
    }
  };
  using owner = std::unique_ptr<redisReply, contents_freer>;

  explicit redis_reply(owner o) : redis_value(*o), owner_(std::move(o)) {}

  static redisReply make_nothing() {
    redisReply r{};
    r.type = REDIS_REPLY_NIL;
    return r;
  }
  static inline const redisReply nothing = make_nothing();

  owner owner_;
};

/// What has come of a command: a reply, or the error of the connection.
class redis_answer {
 public:
  explicit redis_answer(sluice::error_code e) : error_(e) {}
  explicit redis_answer(redis_reply r) : reply_(std::move(r)) {}

  /// Why there is no reply: whether the server has run the command is not known then.
  [[nodiscard]] const sluice::error_code& error() const { return error_; }
  [[nodiscard]] redis_reply& reply() { return reply_; }

 private:
  sluice::error_code error_;
  redis_reply reply_;
};
