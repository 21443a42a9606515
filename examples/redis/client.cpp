// SPDX-License-Identifier: BSL-1.0
#include "client.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <optional>
#include <random>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;

namespace {

/// The pauses between attempts: twice as long each time, and a random part of that, so that many
/// clients do not come back at the same instant.
class backoff {
 public:
  backoff(sluice::clock::duration least, sluice::clock::duration most)
      : least_(least), most_(most), next_(least) {}

  void reset() { next_ = least_; }
  [[nodiscard]] sluice::clock::duration next() {
    std::uniform_real_distribution<double> part(0.5, 1.0);
    const auto d = std::chrono::duration_cast<sluice::clock::duration>(next_ * part(random_));
    next_ = std::min(2 * next_, most_);
    return d;
  }

 private:
  const sluice::clock::duration least_, most_;
  sluice::clock::duration next_;
  std::minstd_rand random_{std::random_device()()};
};

/// The numeric addresses of a host. Names are looked up without blocking the thread.
sluice::task<std::vector<std::string>> addresses_of(std::string host,
                                                    sluice::clock::duration limit) {
  tcp::resolver resolver(co_await asio::this_coro::executor);
  const auto [e, found] = co_await sluice::timeout(
      sluice::abandon(resolver.async_resolve(host, "", asio::as_tuple(asio::deferred))), limit);
  if (e) throw std::runtime_error("cannot find the host: " + e.message());
  std::vector<std::string> addresses;
  for (const auto& entry : found) {
    std::string address = entry.endpoint().address().to_string();
    if (std::ranges::find(addresses, address) == addresses.end())
      addresses.push_back(std::move(address));
  }
  co_return addresses;
}

}  // namespace

/// What the handles and the client's goroutines share.
class redis_client::state : public std::enable_shared_from_this<state> {
 public:
  explicit state(redis_options o) : options_(std::move(o)) {}

  /// The goroutine to which the connection belongs. @param first Told what became of the first
  /// attempt: nothing, or why it failed.
  static sluice::task<> keep_connected(std::shared_ptr<state> self,
                                       sluice::sender<std::string> first);

  [[nodiscard]] sluice::receiver<redis_answer> queue(const redis_command& command);
  [[nodiscard]] sluice::receiver<void> connected();
  [[nodiscard]] sluice::clock::duration connected_for();
  void close();
  [[nodiscard]] bool closed() const { return stopping_.err().failed(); }

 private:
  struct queued {
    std::string wire;
    sluice::sender<redis_answer> answer;
  };

  [[nodiscard]] sluice::task<std::shared_ptr<redis_connection>> open(asio::any_io_executor strand);
  [[nodiscard]] sluice::task<std::string> greet(std::shared_ptr<redis_connection> connection);
  [[nodiscard]] sluice::task<std::string> use(std::shared_ptr<redis_connection> connection);
  static sluice::task<> send_queued(std::shared_ptr<state> self,
                                    std::shared_ptr<redis_connection> connection);
  void refuse_queued();
  void note_connected(bool is);
  void report(const std::string& what) const {
    if (options_.report) options_.report(what);
  }

  const redis_options options_;
  const sluice::cancellable_context stop_ = sluice::with_cancel(sluice::context::background());
  const sluice::context stopping_ = stop_.ctx;
  const sluice::channel<void> to_send_ = sluice::make_channel<void>(1);

  std::mutex mutex_;
  std::vector<queued> queue_;
  sluice::channel<void> up_ = sluice::make_channel<void>();
  std::optional<sluice::clock::time_point> up_since_;
};

sluice::receiver<redis_answer> redis_client::state::queue(const redis_command& command) {
  const auto answer = sluice::make_channel<redis_answer>(1);
  const std::lock_guard guard(mutex_);
  if (!command.answered_once()) {
    answer.try_send(redis_answer(asio::error::operation_not_supported));
  } else if (closed()) {
    answer.try_send(redis_answer(asio::error::shut_down));
  } else if (!up_since_) {
    answer.try_send(redis_answer(asio::error::not_connected));
  } else {
    queue_.push_back({command.wire(), answer});
    error_code already;
    to_send_.try_send(already);
  }
  return answer;
}

void redis_client::state::refuse_queued() {
  std::vector<queued> all;
  {
    const std::lock_guard guard(mutex_);
    all.swap(queue_);
  }
  for (const auto& q : all) q.answer.try_send(redis_answer(asio::error::not_connected));
}

sluice::receiver<void> redis_client::state::connected() {
  const std::lock_guard guard(mutex_);
  return up_;
}

sluice::clock::duration redis_client::state::connected_for() {
  const std::lock_guard guard(mutex_);
  return up_since_ ? sluice::clock::now() - *up_since_ : sluice::clock::duration::zero();
}

void redis_client::state::note_connected(bool is) {
  const std::lock_guard guard(mutex_);
  if (is) {
    up_since_ = sluice::clock::now();
    up_.close();
  } else if (up_since_) {
    up_since_.reset();
    up_ = sluice::make_channel<void>();
  }
}

void redis_client::state::close() {
  stop_.cancel();
}

// --- the goroutines

sluice::task<> redis_client::state::keep_connected(std::shared_ptr<state> self,
                                                   sluice::sender<std::string> first) {
  const auto strand = co_await asio::this_coro::executor;
  backoff pauses(self->options_.least_pause, self->options_.most_pause);
  const std::string where = self->options_.host + ':' + std::to_string(self->options_.port);
  bool first_time = true;
  auto last_time = sluice::clock::now();
  while (!self->closed()) {
    std::string problem;
    try {
      const auto connection = co_await self->open(strand);
      if (first_time)
        first.try_send("");
      else
        self->report("connected again to " + where);
      first_time = false;
      pauses.reset();
      const std::string reason = co_await self->use(connection);
      problem = "lost the connection to " + where + ": " + reason;
      last_time = sluice::clock::now();
    } catch (const std::exception&) {
      problem = "cannot connect to " + where + ": " + sluice::describe(std::current_exception());
    }
    if (first_time) {
      first.try_send(problem);
      break;
    }
    if (self->closed()) break;
    if (sluice::clock::now() - last_time >= self->options_.patience) {
      self->report(problem + "; giving up");
      self->close();
      break;
    }
    const auto pause = pauses.next();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(pause);
    self->report(problem + "; next attempt in " + std::to_string(ms.count()) + " ms");
    co_await sluice::select(sluice::sleep_for(pause), self->stopping_.done());
  }
  self->note_connected(true);  // for those who wait: they find it closed
  self->refuse_queued();
}

/// Connects to the first of the host's addresses that answers.
sluice::task<std::shared_ptr<redis_connection>> redis_client::state::open(
    asio::any_io_executor strand) {
  const auto addresses = co_await addresses_of(options_.host, options_.connect_limit);
  std::string problem;
  for (const std::string& address : addresses) {
    if (closed()) break;
    std::shared_ptr<redis_connection> connection;
    try {
      connection = redis_connection::begin(strand, address, options_.port);
    } catch (const std::runtime_error& e) {
      problem = e.what();
      continue;
    }
    problem = co_await greet(connection);
    if (problem.empty()) co_return connection;
    connection->close();
  }
  throw std::runtime_error(problem);
}

/// Waits for the connection, and for the server's answer. @return Why there is none.
sluice::task<std::string> redis_client::state::greet(std::shared_ptr<redis_connection> connection) {
  const auto answer = sluice::make_channel<redis_answer>(1);
  connection->send(redis_command("PING").wire(), answer);
  std::optional<redis_answer> pong;
  std::string problem;
  const auto take = [&](std::optional<redis_answer> a) { pong = std::move(a); };
  const auto give_up = [&] { problem = "no answer for too long"; };
  const auto stop = [&] { problem = "closed"; };
  co_await sluice::select(sluice::on(answer.receive(), take),
                          sluice::on(sluice::sleep_for(options_.connect_limit), give_up),
                          sluice::on(stopping_.done(), stop));
  if (pong && pong->error()) problem = connection->reason();
  if (pong && pong->reply().is_error()) problem = pong->reply().text();
  co_return problem;
}

/// Lets the connection be used until it ends. @return Why it has ended.
sluice::task<std::string> redis_client::state::use(std::shared_ptr<redis_connection> connection) {
  const auto strand = co_await asio::this_coro::executor;
  sluice::go(strand, send_queued(shared_from_this(), connection));
  note_connected(true);
  std::string reason;
  sluice::ticker ticker(options_.answer_limit / 4);
  const auto ended = [&] { reason = connection->reason(); };
  const auto look = [&] {
    if (connection->silence() > options_.answer_limit) reason = "no answer for too long";
  };
  const auto stop = [&] { reason = "closed"; };
  while (reason.empty())
    co_await sluice::select(sluice::on(connection->ended().receive(), ended),
                            sluice::on(ticker.receive(), look), sluice::on(stopping_.done(), stop));
  note_connected(false);
  connection->close();
  refuse_queued();
  co_return reason;
}

/// Hands to the connection whatever has been queued, as long as it stands.
sluice::task<> redis_client::state::send_queued(std::shared_ptr<state> self,
                                                std::shared_ptr<redis_connection> connection) {
  std::vector<queued> all;
  bool more = true;
  const auto send = [&] {
    {
      const std::lock_guard guard(self->mutex_);
      all.swap(self->queue_);
    }
    for (const auto& q : all) connection->send(q.wire, q.answer);
    all.clear();
  };
  const auto end = [&] { more = false; };
  while (more)
    co_await sluice::select(sluice::on(self->to_send_.receive(), send),
                            sluice::on(connection->ended().receive(), end));
}

// --- the handle

sluice::task<redis_client> redis_client::connect(redis_options options) {
  const auto s = std::make_shared<state>(std::move(options));
  const auto first = sluice::make_channel<std::string>(1);
  sluice::go(state::keep_connected(s, first));
  const auto problem = co_await first.receive();
  if (!problem->empty()) throw std::runtime_error(*problem);
  co_return redis_client(s);
}

sluice::receiver<redis_answer> redis_client::send(const redis_command& command) const {
  return state_->queue(command);
}

sluice::task<redis_reply> redis_client::command(redis_command command,
                                                sluice::clock::duration limit) const {
  auto answer = co_await sluice::timeout(send(command).receive(), limit);
  if (answer->error()) throw sluice::system_error(answer->error());
  if (answer->reply().is_error()) throw redis_error(answer->reply().text());
  co_return std::move(answer->reply());
}

sluice::task<redis_reply> redis_client::insist(redis_command command) const {
  for (;;) {
    auto answer = co_await send(command).receive();
    if (!answer->error()) co_return std::move(answer->reply());
    if (answer->error() == asio::error::shut_down) throw sluice::system_error(answer->error());
    co_await connected().receive();
  }
}

sluice::receiver<void> redis_client::connected() const {
  return state_->connected();
}

sluice::clock::duration redis_client::connected_for() const {
  return state_->connected_for();
}

void redis_client::close() const {
  state_->close();
}
