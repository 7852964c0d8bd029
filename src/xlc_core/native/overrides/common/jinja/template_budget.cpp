#include "overrides/common/jinja/template_budget.h"

#include "jinja/value.h"

#include <algorithm>

namespace xlc {

namespace {

constexpr double base_steps = 4e6;
constexpr double steps_per_input_byte = 64;
constexpr size_t output_per_input_byte = 64;
constexpr size_t most_nested = 300000; // values are freed with some 200 bytes of stack for each
constexpr int most_levels = 5000;      // some kilobytes of stack for each

thread_local TemplateBudget* current = nullptr;

} // namespace

TemplateBudget::TemplateBudget(size_t n_input_bytes)
    : outer_(current), n_steps_(base_steps + steps_per_input_byte * static_cast<double>(n_input_bytes)),
      n_steps_left_(n_steps_), n_output_bytes_(template_output_bytes + output_per_input_byte * n_input_bytes),
      n_nested_left_(most_nested) {
    if (!outer_) {
        current = this;
    }
}

TemplateBudget::~TemplateBudget() {
    if (outer_) {
        return;
    }
    current = nullptr;
    for (const auto& value : changed_) {
        std::vector<jinja::value> items;
        items.swap(value->val_arr);
        std::vector<std::pair<jinja::value, jinja::value>> pairs;
        pairs.swap(value->val_obj);
        if (auto* object = dynamic_cast<jinja::value_object_t*>(value.get())) {
            decltype(object->unordered) by_key;
            by_key.swap(object->unordered);
        }
    }
}

void TemplateBudget::refuse(const std::string& what) {
    if (current && current->exceeded_.empty()) {
        current->exceeded_ = what;
    }
    throw TemplateLimit("the chat template " + what);
}

void TemplateBudget::spend(double n_steps) {
    if (!current) {
        return;
    }
    current->n_steps_left_ -= n_steps;
    if (current->n_steps_left_ < 0) {
        refuse(
            "takes more than " + std::to_string(static_cast<long long>(current->n_steps_)) +
            " steps for this chat: it loops too long or makes texts that are too large");
    }
}

void TemplateBudget::nest(size_t n) {
    if (!current) {
        return;
    }
    if (current->n_nested_left_ < n) {
        refuse("makes more than " + std::to_string(most_nested) + " lists and mappings");
    }
    current->n_nested_left_ -= n;
}

void TemplateBudget::check_output(size_t n_bytes) {
    if (current && n_bytes > current->n_output_bytes_) {
        refuse(
            "makes a prompt of " + std::to_string(n_bytes) + " bytes, more than the " +
            std::to_string(current->n_output_bytes_) + " that are allowed for this chat");
    }
}

void TemplateBudget::changed(std::shared_ptr<jinja::value_t> value) {
    if (current && (current->changed_.empty() || current->changed_.back() != value)) {
        spend(1);
        current->changed_.push_back(std::move(value));
    }
}

TemplateLevel::TemplateLevel(double n_steps) : budget_(current) {
    if (!budget_) {
        return;
    }
    TemplateBudget::spend(n_steps);
    if (budget_->n_levels_ >= most_levels) {
        TemplateBudget::refuse(
            "calls itself too often: more than " + std::to_string(most_levels) + " levels");
    }
    ++budget_->n_levels_;
}

TemplateLevel::~TemplateLevel() {
    if (budget_) {
        --budget_->n_levels_;
    }
}

} // namespace xlc
