// The nodes of a template's syntax tree, which pay for what they do (value_costs.h).
#pragma once

#include "overrides/common/jinja/template_budget.h"
#include "overrides/common/jinja/value_costs.h"

#include "jinja/runtime.h"

#include <memory>
#include <type_traits>
#include <utility>

namespace xlc {

template<typename Node, typename... Others> constexpr bool is_one_of = (std::is_same_v<Node, Others> || ...);

// An expression whose value is known.
struct KnownValue : public jinja::expression {
    jinja::value known;
    explicit KnownValue(jinja::value value) : known(std::move(value)) { pos = 0; }
    jinja::value execute_impl(jinja::context&) const override { return known; }
};

// The value that a loop runs over.
struct LoopedValue : public jinja::expression {
    jinja::statement_ptr items;
    explicit LoopedValue(jinja::statement_ptr expression) : items(std::move(expression)) { pos = items->pos; }
    jinja::value execute_impl(jinja::context& context) const override {
        jinja::value value = items->execute(context);
        pay_for_loop(value);
        return value;
    }
};

template<typename Node> class PaidNode final : public Node {
public:
    explicit PaidNode(Node&& node) : Node(std::move(node)) {
        if constexpr (std::is_same_v<Node, jinja::for_statement>) {
            auto* filtered = dynamic_cast<jinja::select_expression*>(this->iterable.get());
            jinja::statement_ptr& items = filtered ? filtered->lhs : this->iterable;
            items = std::make_unique<LoopedValue>(std::move(items));
        }
    }

    jinja::value execute_impl(jinja::context& context) const override {
        constexpr bool is_known =
            is_one_of<Node, jinja::identifier, jinja::string_literal, jinja::member_expression>;
        // Looking up an attribute copies llama.cpp's table of methods.
        constexpr double n_steps = std::is_same_v<Node, jinja::member_expression> ? 4 : 1;
        const TemplateLevel level(n_steps);
        if constexpr (is_one_of<Node, jinja::array_literal, jinja::tuple_literal, jinja::object_literal>) {
            TemplateBudget::nest(1);
        }
        jinja::value result = run(context);
        pay_for_result(result, is_known);
        return result;
    }

private:
    jinja::value run(jinja::context& context) const {
        if constexpr (std::is_same_v<Node, jinja::binary_expression>) {
            if (this->op.value != "and" && this->op.value != "or") {
                jinja::value left = this->left->execute(context);
                jinja::value right = this->right->execute(context);
                pay_for_operation(this->op.value, left, right);
                const jinja::binary_expression known(
                    this->op, std::make_unique<KnownValue>(std::move(left)),
                    std::make_unique<KnownValue>(std::move(right)));
                return known.execute_impl(context);
            }
        }
        if constexpr (std::is_same_v<Node, jinja::set_statement>) {
            if (const auto* member = jinja::cast_stmt<jinja::member_expression>(this->assignee)) {
                TemplateBudget::changed(member->object->execute(context));
            }
        }
        return Node::execute_impl(context);
    }
};

template<typename Node> std::unique_ptr<Node> paid(std::unique_ptr<Node> node) {
    return std::make_unique<PaidNode<Node>>(std::move(*node));
}

} // namespace xlc
