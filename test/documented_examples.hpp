#pragma once

// The names that the examples of the documentation take for granted, by the file that they stand
// in: of_select those of select.hpp, of_README those of README.md. Read by
// documented_examples_test.sh.

#include <sluice.hpp>
#include <sluice/testing.hpp>

#include <boost/asio.hpp>

#include <cassert>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace documented {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;

extern asio::io_context io;
extern asio::mutable_buffer buffer;
extern tcp::socket socket;
extern sluice::channel<int> ch;
extern sluice::context ctx;

template <class... Values>
void use(Values&&...);

/// What makes a coroutine of an example without a wait.
sluice::task<> example_begins();

namespace of_abandon {
extern tcp::resolver resolver;
extern std::string host;
}  // namespace of_abandon

namespace of_bind_context {
extern sluice::context parent;
}  // namespace of_bind_context

namespace of_condition {
extern sluice::mutex m;
extern sluice::condition not_empty;
extern std::deque<int> queue;
}  // namespace of_condition

namespace of_context {
extern std::string url;
sluice::task<> fetch(std::string url);
sluice::sleep_operation attempt();
}  // namespace of_context

namespace of_explore {
sluice::task<> two_deposits();
}  // namespace of_explore

namespace of_for_each {
extern std::vector<std::string> urls;
extern std::vector<std::string> files;
sluice::task<std::string> fetch(const std::string& url);
sluice::task<> check(const std::string& file);
}  // namespace of_for_each

namespace of_go {
extern sluice::receiver<int> jobs;
extern sluice::sender<int> results;
struct server {
  sluice::task<> run();
};
extern server s;
sluice::task<> part();
sluice::task<> worker(int id, sluice::receiver<int> jobs, sluice::sender<int> results);
}  // namespace of_go

namespace of_mutex {
sluice::task<> change_what_m_protects();
}  // namespace of_mutex

namespace of_network {
extern sluice::testing::simulation sim;
}  // namespace of_network

namespace of_offload {
extern std::string file;
std::string hash_of(const std::string& file);
}  // namespace of_offload

namespace of_once {
struct settings {};
struct store {
  sluice::task<> open();
};
extern store database;
sluice::task<settings> load();
}  // namespace of_once

namespace of_peer_watch {
extern sluice::server_connection c;
extern sluice::receiver<int> answers;
}  // namespace of_peer_watch

namespace of_rate_limiter {
extern std::vector<std::string> all;
sluice::task<> send(const std::string& request);
}  // namespace of_rate_limiter

namespace of_select {
extern sluice::channel<int> ch1;
extern sluice::channel<std::string> ch2;
extern std::string v;
extern std::vector<sluice::channel<int>> channels;
void idle();
}  // namespace of_select

namespace of_semaphore {
extern std::string server;
sluice::task<> talk_to(const std::string& server);
}  // namespace of_semaphore

namespace of_serve {
extern tcp::acceptor acceptor;
sluice::task<> echo(tcp::socket socket);
}  // namespace of_serve

namespace of_shared_mutex {
extern std::vector<int> table;
void change(std::vector<int>& table);
}  // namespace of_shared_mutex

namespace of_singleflight {
using page = std::string;
extern std::string url;
sluice::task<page> fetch(const std::string& url);
}  // namespace of_singleflight

namespace of_task_group {
extern sluice::task_group& g;
extern std::vector<std::string> urls;
sluice::task<> work();
sluice::task<> fetch(const std::string& url);
sluice::task<> body(sluice::task_group& g);
}  // namespace of_task_group

namespace of_wait_group {
sluice::task<> work(int i);
}  // namespace of_wait_group

namespace of_when_all {
extern std::string url;
extern sluice::channel<std::string> users;
sluice::task<std::string> fetch(const std::string& url);
sluice::task<> produce(sluice::sender<int> out);
sluice::task<> consume(sluice::receiver<int> in);
sluice::task<int> number();
sluice::task<std::string> name();
sluice::task<int> count(int i);
}  // namespace of_when_all

namespace of_examples_README {
struct completion_handler {
  template <class... Arguments>
  void operator()(Arguments&&...) const;
};
extern completion_handler have_read, have_counted, ended;
extern tcp::socket socket_;
extern asio::streambuf buffer;
extern asio::strand<asio::any_io_executor> strand_;
extern sluice::clock::duration idle;
extern sluice::context stopping;
extern std::string line;
extern sluice::worker_pool<std::string, std::size_t> workers;
extern tcp::acceptor acceptor;
extern sluice::serve_options options;
std::size_t count_words(const std::string& line);
void begin(tcp::socket socket);
void accept();
}  // namespace of_examples_README

namespace of_include_sluice_README {
extern sluice::receiver<std::string> queue;
sluice::task<> write_all(tcp::socket& socket, sluice::receiver<std::string> queue);
sluice::task<std::string> read_message(tcp::socket& socket);
sluice::task<> handle(std::string message);
}  // namespace of_include_sluice_README

}  // namespace documented
