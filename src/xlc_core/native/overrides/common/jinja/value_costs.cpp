#include "overrides/common/jinja/value_costs.h"

#include "overrides/common/jinja/template_budget.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace xlc {

namespace {

constexpr int deepest_value = 500;
constexpr double largest_range = 1e6;
constexpr int64_t largest_indent = 1000;
constexpr int64_t largest_slice_step = int64_t{1} << 40;

using jinja::is_val;
using jinja::value;

bool is_list(const value& one) {
    return is_val<jinja::value_array>(one);
}

bool is_mapping(const value& one) {
    return is_val<jinja::value_object>(one);
}

bool is_text(const value& one) {
    return is_val<jinja::value_string>(one);
}

bool is_integer(const value& one) {
    return is_val<jinja::value_int>(one);
}

bool is_number(const value& one) {
    return is_integer(one) || is_val<jinja::value_float>(one);
}

double bytes_of(const value& text) {
    return static_cast<double>(text->val_str.length() + 2 * text->val_str.parts.size());
}

size_t items_of(const value& one) {
    return is_list(one) ? one->val_arr.size() : is_mapping(one) ? one->val_obj.size() : 0;
}

struct Walk {
    double n_values = 0;
    double n_bytes = 0;

    void add(const value& one, int depth) {
        if (depth > deepest_value) {
            TemplateBudget::refuse("puts values into each other, or into themselves, without end");
        }
        n_values += 1;
        TemplateBudget::spend(0.05);
        if (is_text(one)) {
            n_bytes += bytes_of(one);
        }
        for (const value& item : one->val_arr) {
            add(item, depth + 1);
        }
        for (const auto& [key, item] : one->val_obj) {
            add(key, depth + 1);
            add(item, depth + 1);
        }
    }
};

Walk walk(const value& one) {
    Walk found;
    found.add(one, 0);
    TemplateBudget::spend(found.n_bytes / 1024);
    return found;
}

value argument(const std::vector<value>& arguments, const std::string& name, size_t position) {
    for (const value& one : arguments) {
        if (const auto* named = jinja::cast_val<jinja::value_kwarg>(one); named && named->key == name) {
            return named->val;
        }
    }
    if (position < arguments.size() && !is_val<jinja::value_kwarg>(arguments[position])) {
        return arguments[position];
    }
    return jinja::mk_val<jinja::value_undefined>();
}

double count(const std::string& text, const std::string& part) {
    if (part.empty()) {
        return static_cast<double>(text.size() + 1);
    }
    double n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        n += 1;
    }
    return n;
}

void pay_for_range(const std::vector<value>& arguments) {
    if (arguments.empty() || !std::all_of(arguments.begin(), arguments.end(), is_integer)) {
        return; // refused by Jinja
    }
    const auto number = [&](size_t i) { return static_cast<double>(arguments[i]->as_int()); };
    const double start = arguments.size() > 1 ? number(0) : 0;
    const double stop = arguments.size() > 1 ? number(1) : number(0);
    const double step = arguments.size() > 2 ? number(2) : 1;
    const double n = step == 0 ? 0 : std::ceil((stop - start) / step);
    if (n > largest_range || std::abs(start) > 1e15 || std::abs(stop) > 1e15 || std::abs(step) > 1e15) {
        TemplateBudget::refuse("makes a range of more than a million numbers");
    }
    TemplateBudget::spend(std::max(n, 0.0) / 4);
}

// Both search a text, and move its rest for each place.
void pay_for_splitting(const std::vector<value>& arguments, bool replaces) {
    const value text = argument(arguments, "", 0);
    const value part = argument(arguments, "", 1);
    if (!is_text(text) || (!is_text(part) && replaces)) {
        return;
    }
    const double n = count(text->as_string().str(), is_text(part) ? part->as_string().str() : " ");
    TemplateBudget::spend(n * bytes_of(text) / 8192);
    const value other = argument(arguments, "", 2);
    if (replaces && is_text(other)) {
        TemplateBudget::spend_on_bytes(n * bytes_of(other));
    } else {
        TemplateBudget::spend(n);
    }
}

void pay_for_indenting(const std::vector<value>& arguments) {
    const value text = argument(arguments, "", 0);
    const value width = argument(arguments, "width", 1);
    if (!is_text(text)) {
        return;
    }
    if (is_integer(width) && (width->as_int() < 0 || width->as_int() > largest_indent)) {
        TemplateBudget::refuse("indents by more than 1000 spaces");
    }
    const double n_lines = count(text->as_string().str(), "\n") + 1;
    const double n_bytes = is_text(width)      ? bytes_of(width)
                           : is_integer(width) ? static_cast<double>(width->as_int())
                                               : 4;
    TemplateBudget::spend_on_bytes(n_lines * n_bytes);
}

void pay_for_json(const std::vector<value>& arguments) {
    const value indent = argument(arguments, "indent", 2);
    double n_indent = 0;
    if (is_integer(indent)) {
        if (indent->as_int() > largest_indent) {
            TemplateBudget::refuse("indents by more than 1000 spaces");
        }
        n_indent = static_cast<double>(std::max<int64_t>(indent->as_int(), 0));
    }
    double n_between = 8;
    if (const value between = argument(arguments, "separators", 3); is_list(between)) {
        n_between += walk(between).n_bytes;
    }
    const Walk found = walk(arguments[0]);
    // Few values are deep; those at the depth of the whole are paid for by their number.
    const double depth = n_indent > 0 ? std::min(found.n_values, 64.0) : 0;
    TemplateBudget::spend_on_bytes(found.n_bytes + found.n_values * (n_between + depth * n_indent));
}

void pay_for_joining(const std::vector<value>& arguments) {
    const value between = argument(arguments, "d", 1);
    double n_bytes = is_text(between) ? bytes_of(between) * static_cast<double>(items_of(arguments[0])) : 0;
    for (const value& item : arguments[0]->val_arr) {
        n_bytes += is_text(item) ? bytes_of(item) : 8;
    }
    TemplateBudget::spend_on_bytes(n_bytes);
}

// std::sort reads outside of the list if the order of its values contradicts itself, as that of numbers and
// texts together does.
void check_order(const std::vector<value>& items) {
    const auto kind = [](const value& item) { return is_text(item) ? 1 : is_number(item) ? 2 : 3; };
    const bool mixed = std::any_of(
        items.begin(), items.end(), [&](const value& item) { return kind(item) != kind(items.front()); });
    const bool unordered = std::any_of(items.begin(), items.end(), [](const value& item) {
        return is_val<jinja::value_float>(item) && std::isnan(item->as_float());
    });
    if (mixed || unordered) {
        TemplateBudget::refuse("sorts values that cannot be compared with each other");
    }
}

void pay_for_sorting(const std::string& name, const std::vector<value>& arguments) {
    const value attribute = argument(arguments, "attribute", name == "sort" ? 3 : 2);
    value undefined = jinja::mk_val<jinja::value_undefined>();
    std::vector<value> items;
    double n_bytes = 0;
    for (const auto& [key, item] : arguments[0]->val_obj) {
        items.push_back(is_text(argument(arguments, "by", 2)) ? item : key);
    }
    for (const value& item : arguments[0]->val_arr) {
        const bool has =
            !attribute->is_undefined() && (is_mapping(item) || (is_list(item) && is_integer(attribute)));
        items.push_back(attribute->is_undefined() ? item : has ? item->at(attribute, undefined) : undefined);
    }
    for (const value& item : items) {
        n_bytes += is_text(item) ? bytes_of(item) : 8;
    }
    if (!items.empty()) {
        check_order(items);
    }
    TemplateBudget::spend(
        std::log2(static_cast<double>(items.size()) + 2) *
        (static_cast<double>(items.size()) + n_bytes / 64));
}

void check_divisor(const std::vector<value>& arguments) {
    const value divisor = arguments.back();
    if (is_integer(divisor) && (divisor->as_int() == 0 || divisor->as_int() == -1)) {
        TemplateBudget::refuse("divides by " + std::to_string(divisor->as_int()));
    }
}

void check_slice(const std::vector<value>& arguments) {
    if (const value step = arguments.back();
        is_integer(step) && std::abs(static_cast<double>(step->as_int())) > largest_slice_step) {
        TemplateBudget::refuse("takes every " + std::to_string(step->as_int()) + "th item of a list");
    }
}

} // namespace

void pay_for_call(const std::string& name, const std::vector<value>& arguments) {
    static const std::set<std::string> walkers = {"string",     "safe",       "select",    "reject",
                                                  "selectattr", "rejectattr", "test_is_in"};
    TemplateBudget::spend(4);
    if (name == "range") {
        pay_for_range(arguments);
    }
    if (arguments.empty()) {
        return;
    }
    for (const value& one : arguments) {
        TemplateBudget::spend(static_cast<double>(items_of(one)) / 64);
        if (is_text(one)) {
            TemplateBudget::spend(bytes_of(one) / 1024);
            if (one->val_str.length() == 11 && one->as_string().str() == "divisibleby") {
                check_divisor(arguments);
            }
        }
    }
    if (name == "tojson") {
        pay_for_json(arguments);
    } else if (name == "replace" || name == "split" || name == "rsplit") {
        pay_for_splitting(arguments, name == "replace");
    } else if (name == "indent") {
        pay_for_indenting(arguments);
    } else if (name == "join") {
        pay_for_joining(arguments);
    } else if (name == "sort" || name == "dictsort" || name == "min" || name == "max") {
        pay_for_sorting(name, arguments);
    } else if (name == "slice") {
        check_slice(arguments);
    } else if (name == "test_is_divisibleby") {
        check_divisor(arguments);
    } else if (name == "append") {
        TemplateBudget::changed(arguments[0]);
        TemplateBudget::nest(1);
    } else if (name == "dict" || name == "namespace" || name == "items") {
        TemplateBudget::nest(2);
        TemplateBudget::spend(static_cast<double>(items_of(arguments[0])));
    } else if (walkers.count(name) > 0) {
        for (const value& one : arguments) {
            TemplateBudget::spend_on_bytes(walk(one).n_bytes);
        }
    }
}

void pay_for_operation(const std::string& sign, const value& left, const value& right) {
    const auto is_container = [](const value& one) { return is_list(one) || is_mapping(one); };
    if (sign == "*" && (is_text(left) || is_text(right))) {
        const value& text = is_text(left) ? left : right;
        const value& n = is_text(left) ? right : left;
        if (is_integer(n) && n->as_int() > 0) {
            TemplateBudget::spend_on_bytes((bytes_of(text) + 2) * static_cast<double>(n->as_int()));
        }
        return;
    }
    if (is_list(left) && is_list(right) && sign == "+") {
        TemplateBudget::spend(static_cast<double>(items_of(left) + items_of(right)) / 64);
        return;
    }
    const bool compares = sign != "+" && sign != "~";
    for (const value* one : {&left, &right}) {
        if (is_container(*one)) {
            const Walk found = walk(*one);
            TemplateBudget::spend_on_bytes(compares ? 0 : found.n_bytes + 8 * found.n_values);
        }
    }
}

void pay_for_output(const value& output) {
    const double n_bytes = walk(output).n_bytes;
    TemplateBudget::check_output(static_cast<size_t>(n_bytes));
    TemplateBudget::spend_on_bytes(n_bytes);
}

void pay_for_loop(const value& items) {
    TemplateBudget::spend(4 * static_cast<double>(items_of(items)));
}

void pay_for_result(const value& result, bool is_known) {
    if (is_text(result)) {
        TemplateBudget::spend(bytes_of(result) / (is_known ? 1024 : 64));
    } else if (result->is_immutable() && is_list(result)) {
        walk(result); // a tuple may be compared, or be a key
    }
}

value PaidFunction::invoke(const jinja::func_args& args) const {
    std::vector<value> arguments = args.get_args();
    if (arg0) {
        arguments.insert(arguments.begin(), arg0);
    }
    pay_for_call(name, arguments);
    return jinja::value_func_t::invoke(args);
}

const jinja::func_builtins& PaidBuiltins::all() {
    static const jinja::func_builtins builtins = [] {
        jinja::func_builtins all = jinja::global_builtins();
        for (auto& [name, function] : all) {
            if (name.rfind("test_is_", 0) == 0) {
                function = [name = name, test = std::move(function)](const jinja::func_args& args) {
                    pay_for_call(name, args.get_args());
                    return test(args);
                };
            }
        }
        return all;
    }();
    return builtins;
}

} // namespace xlc
