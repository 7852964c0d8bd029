"""Models in this process by LiteLLM's functions, under names of your own.

pip install 'xllama[litellm]'
python examples/with_litellm.py
"""

import litellm
from pydantic import BaseModel, Field

from xlc_litellm import register


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=20)
    country: str = Field(max_length=20)


def main() -> None:
    register({"small": {"model": "smollm2-135m-instruct", "n_ctx": 1024}})
    messages = [{"role": "user", "content": "Name a city in Europe."}]
    answer = litellm.completion("xllama/small", messages, response_format=City, temperature=0, max_tokens=60)
    print(City.model_validate_json(answer.choices[0].message.content))

    for chunk in litellm.completion("xllama/small", messages, max_tokens=20, temperature=0, stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
