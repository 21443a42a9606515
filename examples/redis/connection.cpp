// SPDX-License-Identifier: BSL-1.0
#include "connection.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>

#include <stdexcept>
#include <utility>

namespace asio = boost::asio;
using sluice::error_code;

/// Who waits for a command's answer: what hiredis keeps for its callback.
struct redis_connection::pending_answer {
  redis_connection* connection;
  sluice::sender<redis_answer> answer;
};

std::shared_ptr<redis_connection> redis_connection::begin(const asio::any_io_executor& strand,
                                                          const std::string& address,
                                                          unsigned short port) {
  redisAsyncContext* const context = redisAsyncConnect(address.c_str(), port);
  if (!context) throw std::bad_alloc();
  if (context->err) {
    const std::string why = context->errstr;
    redisAsyncFree(context);
    throw std::runtime_error(why);
  }
  const auto c = std::make_shared<redis_connection>(strand, context);
  sluice::go(strand, serve_wishes(c, c->to_read_, asio::posix::descriptor_base::wait_read,
                                  redisAsyncHandleRead));
  sluice::go(strand, serve_wishes(c, c->to_write_, asio::posix::descriptor_base::wait_write,
                                  redisAsyncHandleWrite));
  return c;
}

redis_connection::redis_connection(const asio::any_io_executor& strand, redisAsyncContext* context)
    : context_(context),
      descriptor_(strand, context->c.fd),
      to_read_(sluice::make_channel<void>(strand, 1)),
      to_write_(sluice::make_channel<void>(strand, 1)),
      established_(sluice::make_channel<void>(strand)),
      ended_(sluice::make_channel<void>(strand)) {
  context->data = this;
  context->ev.data = this;
  context->ev.addRead = wish<&redis_connection::to_read_>;
  context->ev.delRead = withdraw<&redis_connection::to_read_>;
  context->ev.addWrite = wish<&redis_connection::to_write_>;
  context->ev.delWrite = withdraw<&redis_connection::to_write_>;
  context->ev.cleanup = library_lets_go;
  // Its first wish is to write: that is how it learns that it is connected.
  redisAsyncSetConnectCallback(context, connect_has_ended);
}

void redis_connection::send(const std::string& wire, sluice::sender<redis_answer> answer) {
  auto pending = std::make_unique<pending_answer>(pending_answer{this, answer});
  if (!context_ || redisAsyncFormattedCommand(context_, reply_has_come, pending.get(), wire.data(),
                                              wire.size()) != REDIS_OK) {
    answer.try_send(redis_answer(asio::error::not_connected));
    return;
  }
  static_cast<void>(pending.release());
  if (under_way_++ == 0) last_answer_ = sluice::clock::now();
}

sluice::clock::duration redis_connection::silence() const {
  return under_way_ == 0 ? sluice::clock::duration::zero() : sluice::clock::now() - last_answer_;
}

void redis_connection::close() {
  if (context_) redisAsyncFree(context_);
}

// --- what hiredis calls

void redis_connection::reply_has_come(redisAsyncContext*, void* reply, void* pending) {
  const std::unique_ptr<pending_answer> p(static_cast<pending_answer*>(pending));
  --p->connection->under_way_;
  p->connection->last_answer_ = sluice::clock::now();
  if (reply)
    p->answer.try_send(redis_answer(redis_reply(*static_cast<redisReply*>(reply))));
  else
    p->answer.try_send(redis_answer(asio::error::connection_aborted));
}

void redis_connection::connect_has_ended(const redisAsyncContext* context, int status) {
  if (status == REDIS_OK) static_cast<redis_connection*>(context->data)->established_.try_close();
}

void redis_connection::library_lets_go(void* self) {
  auto& c = *static_cast<redis_connection*>(self);
  const redisAsyncContext* const context = std::exchange(c.context_, nullptr);
  c.reason_ = context->err ? context->errstr : "closed";
  // The library closes the descriptor.
  static_cast<void>(c.descriptor_.release());
  for (const auto& ch : {c.to_read_, c.to_write_, c.ended_}) ch.try_close();
}

template <sluice::channel<void> redis_connection::* Wish>
void redis_connection::wish(void* self) {
  error_code already;
  (static_cast<redis_connection*>(self)->*Wish).try_send(already);
}

template <sluice::channel<void> redis_connection::* Wish>
void redis_connection::withdraw(void* self) {
  error_code closed;
  static_cast<void>((static_cast<redis_connection*>(self)->*Wish).try_receive(closed));
}

// --- the goroutines

sluice::task<> redis_connection::serve_wishes(std::shared_ptr<redis_connection> self,
                                              sluice::receiver<void> wishes,
                                              asio::posix::descriptor_base::wait_type readiness,
                                              void (*handle)(redisAsyncContext*)) {
  for (;;) {
    const bool wished = co_await wishes.receive();
    if (!wished) break;
    const auto [e] =
        co_await self->descriptor_.async_wait(readiness, asio::as_tuple(asio::deferred));
    if (self->context_ && e != asio::error::operation_aborted) handle(self->context_);
  }
}
