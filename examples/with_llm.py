"""llm's Python interface with a model in this process; `llm models` shows the names.

pip install 'xllama[llm]'
python examples/with_llm.py
"""

import llm
from pydantic import BaseModel, Field


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=20)
    population: int = Field(ge=0, le=99_999_999)


def main() -> None:
    model = llm.get_model("xllama/smollm2-135m-instruct")
    response = model.prompt("Name a city.", schema=City, temperature=0, max_tokens=60, n_ctx=1024)
    print(City.model_validate_json(response.text()))
    print(response.usage())


if __name__ == "__main__":
    main()
