"""What users of the OpenAI SDK do, against the server whose address is the first argument.

Prints `ok NAME` for each part that passed; the test knows the names.
"""

import sys

import openai
from pydantic import BaseModel

BASE_URL = sys.argv[1]
client = openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key="anything", max_retries=0)

HELLO = [{"role": "user", "content": "hello"}]
LOOK = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}}


class Person(BaseModel):
    name: str


def part(check):
    check()
    print("ok", check.__name__, flush=True)


def raised(kind, call):
    try:
        call()
    except openai.APIError as error:
        assert type(error) is kind, f"{type(error)} instead of {kind}: {error}"
        return error
    raise AssertionError(f"no {kind}")


def chat(model="small", **more):
    return client.chat.completions.create(model=model, messages=HELLO, **more)


@part
def chat_whole_and_streamed():
    assert chat().choices[0].message.content == "hello"
    assert chat().usage.prompt_tokens > 0
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello"
    assert chunks[-1].usage.completion_tokens > 0
    assert chat("little").model == "small"


@part
def chat_structured():
    parsed = client.chat.completions.parse(model="small", messages=HELLO, response_format=Person)
    assert parsed.choices[0].message.parsed.name


@part
def chat_tools():
    tools = [{"type": "function", "function": LOOK}]
    for model in ("gpt-tools", "claude-tools"):
        choice = chat(model, tools=tools).choices[0]
        assert choice.finish_reason == "tool_calls", choice
        assert [call.function.name for call in choice.message.tool_calls] == ["look"], choice
    with client.chat.completions.stream(model="claude-tools-stream", messages=HELLO, tools=tools) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [call.function.arguments for call in message.tool_calls] == ['{"at": 1}', "{}"], message
    assert message.content == "Let me look."


@part
def responses_whole_and_streamed():
    response = client.responses.create(model="small", input="hello", instructions="be brief")
    assert (response.output_text, response.status) == ("hello", "completed")
    assert response.usage.total_tokens > 0
    with client.responses.stream(model="small", input="hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "hello"
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds


@part
def responses_structured():
    parsed = client.responses.parse(model="small", input="hello", text_format=Person)
    assert parsed.output_parsed.name


@part
def responses_tools():
    tools = [{"type": "function", **LOOK, "strict": False}]
    for model in ("gpt-tools", "claude-tools"):
        response = client.responses.create(model=model, input="look", tools=tools)
        calls = [item for item in response.output if item.type == "function_call"]
        assert [call.name for call in calls] == ["look"], response
        again = [*response.output, {"type": "function_call_output", "call_id": calls[0].call_id, "output": "a cat"}]
        assert client.responses.create(model=model, input=again, tools=tools).output
    with client.responses.stream(model="claude-tools-stream", input="look", tools=tools) as stream:
        response = stream.until_done().get_final_response()
    calls = [item.arguments for item in response.output if item.type == "function_call"]
    assert calls == ['{"at": 1}', "{}"], response


@part
def embeddings():
    one = client.embeddings.create(model="small", input="hello", dimensions=8)
    many = client.embeddings.create(model="small", input=["hello", "bye"], encoding_format="float", dimensions=8)
    assert len(one.data[0].embedding) == 8 and one.usage.total_tokens > 0
    assert all(abs(a - b) < 1e-6 for a, b in zip(one.data[0].embedding, many.data[0].embedding))
    raised(openai.BadRequestError, lambda: client.embeddings.create(model="claude-tools", input="hello"))


@part
def models():
    names = [model.id for model in client.models.list()]
    assert names[0] == "small" and "claude-tools" in names and "little" not in names, names
    assert client.models.retrieve("little").id == "small"
    raised(openai.NotFoundError, lambda: client.models.retrieve("nobody"))


@part
def errors():
    error = raised(openai.NotFoundError, lambda: chat("nobody"))
    assert (error.code, error.param) == ("model_not_found", "model")
    assert error.request_id
    error = raised(openai.BadRequestError, lambda: chat(temperature="hot"))
    assert error.param == "temperature"
    error = raised(openai.BadRequestError, lambda: chat(logit_bias={"1": 2}))
    error = raised(openai.BadRequestError, lambda: client.responses.create(model="small", input="x", previous_response_id="r"))
    assert error.param == "previous_response_id"
    error = raised(openai.RateLimitError, lambda: chat("limited"))
    assert error.response.headers["retry-after"] == "7"
    raised(openai.InternalServerError, lambda: chat("overloaded"))
    error = raised(openai.InternalServerError, lambda: chat("late"))
    assert error.status_code == 504
    for call in (chat, lambda: client.responses.create(model="small", input="x")):
        guarded = client.with_options(base_url=f"{sys.argv[2]}/v1")
        raised(openai.AuthenticationError, lambda: guarded.chat.completions.create(model="small", messages=HELLO))
