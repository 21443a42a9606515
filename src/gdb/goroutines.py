# SPDX-License-Identifier: BSL-1.0
"""Goroutines for gdb, live or in a core file: source this file, then

  info goroutines [CONTEXT]   one line for each: its number, its name, what it waits on and where, where it was started
  goroutine NUMBER            the tasks that it is in, the innermost first

CONTEXT is an expression, such as an io_context. Without one they are those of the contexts that some thread runs.
A goroutine that runs, or is ready to, is shown with its last wait. The library has to have debug information (-g).
"""
import gdb

ASIO = ("boost::asio", "asio")


def pointer_to(name):
    return gdb.lookup_type(name).pointer()


def services(context):
    """The services of an execution_context."""
    service = context["service_registry_"]["first_service_"]
    while service:
        yield service
        service = service["next_"]


def scheduler_in(context):
    """Sluice's scheduler among the services of a context, or None."""
    wanted = gdb.lookup_type("sluice::detail::scheduler")
    for service in services(context):
        if service.dynamic_type.target().unqualified() == wanted:
            return service.cast(wanted.pointer()).dereference()
    return None


def as_context(value):
    """A value that is an execution_context, derived from one, or refers or points to one."""
    if value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
        value = value.dereference()
    for asio in ASIO:
        try:
            return value.cast(gdb.lookup_type(asio + "::execution_context"))
        except gdb.error:
            pass
    raise gdb.GdbError("that is no execution context")


def contexts_that_run():
    """Those whose event loop is on some thread's stack."""
    members = tuple(asio + "::detail::scheduler::" for asio in ASIO)
    found = {}
    selected = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        frame = gdb.newest_frame()
        while frame is not None:
            if (frame.name() or "").startswith(members):
                try:
                    # Asio's scheduler is a service, which knows its owner.
                    this = frame.read_var("this").dereference()
                    for field in this.type.fields():
                        if field.is_base_class and "service" in field.name:
                            owner = this[field]["owner_"].referenced_value()
                            found[int(owner.address)] = owner
                except (ValueError, gdb.error):
                    pass  # optimised out; an outer frame may have it
            frame = frame.older()
    if selected is not None:
        selected.switch()
    return list(found.values())


def goroutines_of(scheduler):
    """The oldest first."""
    registered = scheduler["goroutines_"]["first_"]
    found = []
    while registered:
        found.append(registered.cast(pointer_to("sluice::detail::scheduled_goroutine")))
        registered = registered["next_"]
    found.reverse()
    return found


def names_of(scheduler):
    """The names that goroutines were given, by their addresses."""
    printer = gdb.default_visualizer(scheduler["names_"])
    if printer is None:
        return {}
    children = [value for _, value in printer.children()]
    return {int(key): name.format_string().strip('"') for key, name in zip(children[::2], children[1::2])}


def place(location):
    """A std::source_location as FILE:LINE."""
    data = location["_M_impl"] if "_M_impl" in [f.name for f in location.type.fields()] else location["__ptr_"]
    if not data:
        return "?"
    return "%s:%d" % (data["_M_file_name"].string(), int(data["_M_line"]))


def wait_of(goroutine):
    return str(goroutine["waiting_on"]).split("::")[-1].replace("_", " ")


def all_goroutines(expression=""):
    """(number, goroutine, name) of the contexts meant."""
    contexts = [as_context(gdb.parse_and_eval(expression))] if expression else contexts_that_run()
    try:
        schedulers = [s for s in map(scheduler_in, contexts) if s is not None]
    except gdb.error as e:
        raise gdb.GdbError("%s: is the library built with debug information (-g)?" % e)
    if not schedulers:
        raise gdb.GdbError("no context with goroutines is found; info goroutines CONTEXT names one")
    number = 0
    for scheduler in schedulers:
        names = names_of(scheduler)
        for goroutine in goroutines_of(scheduler):
            number += 1
            yield number, goroutine, names.get(int(goroutine), "")


class InfoGoroutines(gdb.Command):
    """Lists goroutines: info goroutines [CONTEXT]."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STATUS, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        for number, goroutine, name in all_goroutines(argument):
            print("%4d %s waits on %s at %s, started at %s" % (
                number, '"%s"' % name if name else "-", wait_of(goroutine), place(goroutine["location"]),
                place(goroutine["started_at"])))


def tasks_of(goroutine):
    """The functions that a goroutine is in, innermost first."""
    promise = goroutine.cast(pointer_to("sluice::detail::goroutine"))["at"]["value_"]["_M_b"]["_M_p"]
    while promise:
        frame = promise["self"]["_M_fr_ptr"]
        resume = frame.cast(gdb.lookup_type("unsigned long").pointer()).dereference()
        block = gdb.block_for_pc(int(resume))
        while block is not None and block.function is None:
            block = block.superblock
        # Without its parameter, the frame.
        yield block.function.print_name.split("(_Z")[0] if block is not None else "?"
        link = promise["awaited_by"]
        promise = link["parent"] if link else None


class Goroutine(gdb.Command):
    """Prints the tasks that a goroutine is in: goroutine NUMBER, as `info goroutines` counts them."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words or not words[0].isdigit():
            raise gdb.GdbError("goroutine NUMBER [CONTEXT]")
        for number, goroutine, _ in all_goroutines(words[1] if len(words) > 1 else ""):
            if number == int(words[0]):
                for depth, function in enumerate(tasks_of(goroutine)):
                    print("#%d  %s" % (depth, function))
                return
        raise gdb.GdbError("there is no goroutine %s" % words[0])


InfoGoroutines()
Goroutine()
