// Converts std::string and str, in place of <nanobind/stl/string.h>. Text of files and models may hold any
// bytes, such as Latin-1 in a model's name or half a character in an answer. nanobind's own caster would
// raise UnicodeDecodeError; here the bytes that are not UTF-8 become U+FFFD.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

namespace nanobind::detail {

template<> struct type_caster<std::string> {
    NB_TYPE_CASTER(std::string, const_name("str"))

    bool from_python(handle source, uint32_t, cleanup_list*) noexcept {
        if (!PyUnicode_Check(source.ptr())) {
            return false;
        }
        Py_ssize_t size = 0;
        const char* text = PyUnicode_AsUTF8AndSize(source.ptr(), &size);
        if (text == nullptr) {
            PyErr_Clear();
            return false;
        }
        value = std::string(text, static_cast<size_t>(size));
        return true;
    }

    static handle from_cpp(const std::string& text, rv_policy, cleanup_list*) noexcept {
        return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
    }
};

} // namespace nanobind::detail
