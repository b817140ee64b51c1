"""What users of the Anthropic SDK do, against the server whose address is the first argument.

Prints `ok NAME` for each part that passed; the test knows the names.
"""

import sys

import anthropic
from anthropic._exceptions import OverloadedError
from pydantic import BaseModel

BASE_URL = sys.argv[1]
client = anthropic.Anthropic(base_url=BASE_URL, api_key="anything", max_retries=0)

HELLO = [{"role": "user", "content": "hello"}]
LOOK = [{"name": "look", "description": "looks", "input_schema": {"type": "object", "properties": {"at": {"type": "integer"}}}}]


class Person(BaseModel):
    name: str


def part(check):
    check()
    print("ok", check.__name__, flush=True)


def raised(kind, call):
    try:
        call()
    except anthropic.APIError as error:
        assert type(error) is kind, f"{type(error)} instead of {kind}: {error}"
        return error
    raise AssertionError(f"no {kind}")


def create(model="small", **more):
    return client.messages.create(model=model, max_tokens=100, messages=HELLO, **more)


@part
def whole_and_streamed():
    message = create(system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}])
    assert (message.content[0].text, message.stop_reason, message.model) == ("hello", "end_turn", "small")
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    with client.messages.stream(model="small", max_tokens=100, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == "hello"
        final = stream.get_final_message()
    assert final.usage.input_tokens > 0 and final.usage.output_tokens > 0
    assert final.stop_reason == "end_turn"


@part
def structured():
    message = client.messages.parse(model="small", max_tokens=100, messages=HELLO, output_format=Person)
    assert message.parsed_output.name


@part
def tools():
    for model in ("gpt-tools", "claude-tools"):
        message = create(model, tools=LOOK, tool_choice={"type": "any"})
        use = [block for block in message.content if block.type == "tool_use"][0]
        assert (message.stop_reason, use.name, use.input) == ("tool_use", "look", {"at": 1}), message
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "a cat", "is_error": True}
        again = [*HELLO, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        assert client.messages.create(model=model, max_tokens=100, messages=again, tools=LOOK).content
    for model in ("gpt-tools-stream", "claude-tools-stream"):
        with client.messages.stream(model=model, max_tokens=100, messages=HELLO, tools=LOOK) as stream:
            final = stream.get_final_message()
        inputs = [block.input for block in final.content if block.type == "tool_use"]
        assert inputs == [{"at": 1}, {}], final
        assert final.stop_reason == "tool_use"


@part
def thinking_is_kept():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model="claude-thinks-stream", max_tokens=2048, messages=HELLO, thinking=thinking
    ) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"], final
    assert (final.content[0].thinking, final.content[0].signature) == ("Hm.", "c2ln"), final
    error = raised(anthropic.BadRequestError, lambda: create("gpt-tools", thinking=thinking))
    assert "thinking" in error.message


@part
def counting():
    assert client.messages.count_tokens(model="claude-counts", messages=HELLO, tools=LOOK).input_tokens == 42
    estimate = client.messages.count_tokens(model="small", messages=HELLO)
    assert estimate.input_tokens > 0 and estimate.estimated


@part
def models():
    names = [model.id for model in client.models.list()]
    assert "small" in names, names
    assert client.models.retrieve("small").display_name == "small"
    raised(anthropic.NotFoundError, lambda: client.models.retrieve("nobody"))


@part
def errors():
    error = raised(anthropic.NotFoundError, lambda: create("nobody"))
    assert error.type == "not_found_error", error.body
    assert error.request_id
    raised(anthropic.BadRequestError, lambda: create(extra_body={"temperature": "hot"}))
    error = raised(anthropic.RateLimitError, lambda: create("limited"))
    assert error.response.headers["retry-after"] == "7"
    raised(OverloadedError, lambda: create("overloaded"))
    error = raised(anthropic.GatewayTimeoutError, lambda: create("late"))
    assert error.type == "timeout_error", error.body
    guarded = client.with_options(base_url=sys.argv[2])
    raised(anthropic.AuthenticationError, lambda: guarded.messages.create(model="small", max_tokens=1, messages=HELLO))
