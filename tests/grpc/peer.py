"""A peer of the service in talk.proto, with grpcio.

peer.py serve: a server, which says where.
peer.py call ADDRESS: a client that makes a call of each kind, and fails if one does not go as it should.
"""

import sys
import threading
from concurrent import futures

import grpc

SERVICE = "weir.test.Talk"
MESSAGE = "as told: 100 % \u00e9"


def encode(text):
    """A Line: one field, whose length is one byte."""
    data = text.encode()
    assert len(data) < 128
    return b"\x0a" + bytes([len(data)]) + data if data else b""


def decode(line):
    return line[2:].decode()


def told(context):
    """What the metadata says, and the answer of it that comes first."""
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata([("x-tag", metadata["x-tag"])] if "x-tag" in metadata else [])
    return metadata


def say(line, context):
    metadata = told(context)
    if "x-wait" in metadata:
        over = threading.Event()
        if context.add_callback(over.set):
            over.wait()
    if "x-fail" in metadata:
        code = next(code for code in grpc.StatusCode if code.value[0] == int(metadata["x-fail"]))
        context.set_trailing_metadata([("x-why", metadata["x-tag"])])
        context.abort(code, MESSAGE)
    context.set_trailing_metadata([("x-end-bin", b"\x00\xff")])
    return line


def join(lines, context):
    told(context)
    return "".join(lines)


def split(line, context):
    told(context)
    return iter(line.split(" "))


def chat(lines, context):
    told(context)
    return lines


CALLS = {
    "Say": (say, "unary_unary"),
    "Join": (join, "stream_unary"),
    "Split": (split, "unary_stream"),
    "Chat": (chat, "stream_stream"),
}


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(16))
    handlers = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(call, decode, encode) for name, (call, kind) in CALLS.items()
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"serves at 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


def call(address):
    with grpc.insecure_channel(address) as channel:
        calls = {
            name: getattr(channel, kind)(f"/{SERVICE}/{name}", encode, decode)
            for name, (_, kind) in CALLS.items()
        }
        succeed(calls)
        fail(calls["Say"])


def succeed(calls):
    tag = [("x-tag", "blue")]
    answer, rpc = calls["Say"].with_call("hello", metadata=tag, timeout=60)
    equal((answer, dict(rpc.initial_metadata())["x-tag"]), ("hello", "blue"))
    equal(calls["Join"](iter(["a", "b", "c"]), timeout=60), "abc")
    equal(list(calls["Split"]("one two three", timeout=60)), ["one", "two", "three"])
    chat_in_turns(calls["Chat"])


def chat_in_turns(call):
    """Each line is said after the one before has been answered."""
    turn = threading.Semaphore(1)

    def lines():
        for number in range(10):
            turn.acquire()
            yield str(number)

    answers = []
    for answer in call(lines(), timeout=60):
        answers.append(answer)
        turn.release()
    equal(answers, [str(number) for number in range(10)])


def fail(say):
    error = error_of(say, [("x-fail", "9"), ("x-tag", "blue")], 60)
    equal((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, MESSAGE))
    equal(dict(error.trailing_metadata())["x-why"], "blue")
    error = error_of(say, [("x-wait", "1")], 0.3)
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


def error_of(say, metadata, timeout):
    try:
        answer = say("hello", metadata=metadata, timeout=timeout)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"answered {answer!r}")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else call(sys.argv[2])
