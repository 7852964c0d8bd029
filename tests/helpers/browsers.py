"""A headless Chromium, and what tests and the screenshot do with the page in it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from helpers.waiting import wait_until

__all__ = ["PROGRAMS", "Page", "open_page"]

PROGRAMS = ("chromium", "chromedriver")
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")

_SET = """
const [name, value] = arguments;
document.getElementById(name).value = value;
document.getElementById(name).dispatchEvent(new Event("change"));
"""


@contextlib.contextmanager
def open_page(url: str, *, width: int = 1000, height: int = 640, scheme: str = "light") -> Iterator[Page]:
    """Open the page in a browser of its own, with answers of at most 16 tokens.

    Args:
        url: the server's address.
        width: width of the window, in pixels.
        height: its height.
        scheme: the colours that the user prefers, light or dark.
    """
    binary, driver_path = (shutil.which(program) for program in PROGRAMS)
    options = webdriver.ChromeOptions()
    options.binary_location = binary or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    try:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        colours = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)
        driver.get(url)
        page = Page(driver)
        page.set_option("max_tokens", "16")  # small models may repeat themselves until the context is full
        yield page
    finally:
        driver.quit()


class Page:
    """The page in a browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def __getitem__(self, name: str) -> WebElement:
        """Return the element with an id."""
        return self.driver.find_element(By.ID, name)

    def find(self, selector: str) -> list[WebElement]:
        """Return the elements that a selector of CSS finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, name: str) -> str:
        """Return the text of an element, shown or not."""
        return str(self.run("return document.getElementById(arguments[0]).textContent", name))

    def models(self) -> list[str]:
        """Return the models to choose from, once the page has them."""
        assert wait_until(lambda: self.find("#model option")), self.text("problem")
        return [str(option.text) for option in self.find("#model option")]

    def choose(self, name: str, value: str) -> None:
        """Choose a value of a list."""
        next(option for option in self[name].find_elements(By.TAG_NAME, "option") if option.text == value).click()

    def show(self, view: str) -> None:
        """Go to a view."""
        self.driver.find_element(By.LINK_TEXT, view).click()

    def set_option(self, name: str, value: str) -> None:
        """Set a field, shown or not."""
        self.run(_SET, name, value)

    def fill(self, name: str, text: str) -> None:
        """Write a text into a field, as a user does."""
        self[name].clear()
        self[name].send_keys(text)

    def ask(self, question: str) -> None:
        """Send a question, when the page has its models."""
        self.models()
        self["question"].send_keys(question + "\n")

    def answers(self) -> list[str]:
        """Return the answers that are shown."""
        return [str(found.get_property("textContent")) for found in self.find("article.assistant .text")]

    def wait_for_end(self) -> None:
        """Wait until no answer is written."""
        assert wait_until(lambda: self["send"].is_displayed())

    def wait_for(self, name: str, part: str) -> None:
        """Wait until the text of an element has a part."""
        assert wait_until(lambda: part in self.text(name)), f"{part!r} is not in {self.text(name)!r}"

    def errors(self) -> list[str]:
        """Return what the browser complained about since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
