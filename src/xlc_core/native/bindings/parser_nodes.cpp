#include "bindings/parser_nodes.h"

#include "peg-parser.h"

#include <nanobind/stl/string.h>

namespace xlc {

namespace nb = nanobind;

namespace {

template<typename Items> nb::tuple to_tuple(const Items& items) {
    nb::list list;
    for (const auto& item : items) {
        list.append(nb::cast(item));
    }
    return nb::tuple(list);
}

struct Visitor {
    nb::tuple operator()(const common_peg_epsilon_parser&) const { return nb::make_tuple("empty"); }
    nb::tuple operator()(const common_peg_start_parser&) const { return nb::make_tuple("empty"); }
    nb::tuple operator()(const common_peg_end_parser&) const { return nb::make_tuple("empty"); }
    nb::tuple operator()(const common_peg_and_parser&) const { return nb::make_tuple("empty"); }
    nb::tuple operator()(const common_peg_not_parser&) const { return nb::make_tuple("empty"); }
    nb::tuple operator()(const common_peg_any_parser&) const { return nb::make_tuple("any"); }
    nb::tuple operator()(const common_peg_space_parser&) const { return nb::make_tuple("space"); }
    nb::tuple operator()(const common_peg_literal_parser& node) const {
        return nb::make_tuple("literal", node.literal);
    }
    nb::tuple operator()(const common_peg_sequence_parser& node) const {
        return nb::make_tuple("sequence", to_tuple(node.children));
    }
    nb::tuple operator()(const common_peg_choice_parser& node) const {
        return nb::make_tuple("choice", to_tuple(node.children));
    }
    nb::tuple operator()(const common_peg_repetition_parser& node) const {
        return nb::make_tuple("repetition", node.child, node.min_count, node.max_count);
    }
    nb::tuple operator()(const common_peg_chars_parser& node) const {
        return nb::make_tuple("chars", node.pattern, node.min_count, node.max_count);
    }
    nb::tuple operator()(const common_peg_string_parser& node) const {
        return nb::make_tuple("string", std::string(1, node.delimiter));
    }
    nb::tuple operator()(const common_peg_until_parser& node) const {
        return nb::make_tuple("until", to_tuple(node.delimiters));
    }
    nb::tuple operator()(const common_peg_schema_parser& node) const {
        return nb::make_tuple("schema", node.child, node.name);
    }
    nb::tuple operator()(const common_peg_rule_parser& node) const {
        return nb::make_tuple("rule", node.child, node.name, node.trigger);
    }
    nb::tuple operator()(const common_peg_ref_parser& node) const { return nb::make_tuple("ref", node.name); }
    nb::tuple operator()(const common_peg_atomic_parser& node) const {
        return nb::make_tuple("same", node.child);
    }
    nb::tuple operator()(const common_peg_ac_parser& node) const {
        return nb::make_tuple("same", node.child);
    }
    nb::tuple operator()(const common_peg_tag_parser& node) const {
        return nb::make_tuple("tag", node.child, node.tag);
    }
    nb::tuple operator()(const common_peg_gbnf_parser& node) const {
        return nb::make_tuple("gbnf", node.child, node.grammar);
    }
};

} // namespace

nb::object parser_nodes(const common_peg_arena& parser) {
    if (parser.empty()) {
        return nb::none();
    }
    nb::list nodes;
    for (size_t id = 0; id < parser.size(); ++id) {
        nodes.append(std::visit(Visitor(), parser.get(id)));
    }
    return nb::make_tuple(parser.root(), nb::tuple(nodes));
}

} // namespace xlc
