// The work that chat templates may do. A template is a program out of a model's file: it may loop, recurse or
// double a text without end.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace jinja {
struct value_t;
}

namespace xlc {

// Thrown inside of a template that has used up its budget. Budget::exceeded() says so too, because llama.cpp
// ignores exceptions of templates while it finds out what they can do.
struct TemplateLimit : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A text of this size may come out of a template, in addition to many times the size of its input.
constexpr size_t template_output_bytes = size_t{1} << 20;
// The stack for all of this: see TemplateBudget::nest.
constexpr size_t template_stack = size_t{256} << 20;

// The budget of the templates that this thread runs while the object lives. One within another has no effect.
// Without one nothing is limited.
class TemplateBudget {
public:
    // The budget grows with the size of what the templates are given.
    explicit TemplateBudget(size_t n_input_bytes);
    ~TemplateBudget();
    TemplateBudget(const TemplateBudget&) = delete;
    TemplateBudget& operator=(const TemplateBudget&) = delete;

    // The limit that was exceeded, in words; empty if none was.
    const std::string& exceeded() const { return exceeded_; }

    // The functions below throw TemplateLimit when the budget of this thread is used up.

    // A step takes about a microsecond.
    static void spend(double n_steps);
    // Copy or make a text, or a list.
    static void spend_on_bytes(double n_bytes) { spend(n_bytes / 64); }
    // One more value may be within another. Values are freed recursively, so this also limits the stack.
    static void nest(size_t n);
    // A text that a template returns.
    static void check_output(size_t n_bytes);
    static void refuse(const std::string& what);
    // A value that was changed after it was made, and so may be inside itself: it is emptied in the end.
    static void changed(std::shared_ptr<jinja::value_t> value);

private:
    friend class TemplateLevel;

    TemplateBudget* const outer_;
    double n_steps_;
    double n_steps_left_;
    size_t n_output_bytes_;
    size_t n_nested_left_;
    int n_levels_ = 0;
    std::string exceeded_;
    std::vector<std::shared_ptr<jinja::value_t>> changed_;
};

// One expression or statement within another, while it runs.
class TemplateLevel {
public:
    explicit TemplateLevel(double n_steps);
    ~TemplateLevel();
    TemplateLevel(const TemplateLevel&) = delete;
    TemplateLevel& operator=(const TemplateLevel&) = delete;

private:
    TemplateBudget* const budget_;
};

} // namespace xlc
