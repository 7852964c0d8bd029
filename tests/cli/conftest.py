from helpers.own_folders import own_folders  # noqa: F401 - a fixture for every test of this folder
