#include "constraints/gbnf_analysis.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace xlc::gbnf {

namespace {

struct Alternative {
    uint32_t rule;
    const llama_grammar_element* begin;
    const llama_grammar_element* end;
};

std::vector<Alternative> alternatives_of(const llama_grammar_rules& rules) {
    std::vector<Alternative> alternatives;
    for (uint32_t rule = 0; rule < rules.size(); ++rule) {
        const llama_grammar_element* begin = rules[rule].data();
        for (const llama_grammar_element& element : rules[rule]) {
            if (element.type == LLAMA_GRETYPE_ALT || element.type == LLAMA_GRETYPE_END) {
                alternatives.push_back({rule, begin, &element});
                begin = &element + 1;
            }
        }
    }
    return alternatives;
}

// Return which rules may read nothing, directly or through other rules. (llama.cpp's check sees only a rule's
// own empty alternatives, and so misses some left recursion.)
std::vector<bool> nullable_rules(const std::vector<Alternative>& alternatives, size_t n_rules) {
    std::vector<size_t> n_missing(alternatives.size());
    std::vector<std::vector<size_t>> users(n_rules); // by rule: the alternatives that wait for it
    std::vector<size_t> ready;
    for (size_t i = 0; i < alternatives.size(); ++i) {
        const Alternative& alternative = alternatives[i];
        const bool only_rules = std::all_of(alternative.begin, alternative.end, [](const auto& element) {
            return element.type == LLAMA_GRETYPE_RULE_REF;
        });
        if (!only_rules) {
            continue;
        }
        n_missing[i] = static_cast<size_t>(alternative.end - alternative.begin);
        std::for_each(alternative.begin, alternative.end, [&](const auto& element) {
            users[element.value].push_back(i);
        });
        if (n_missing[i] == 0) {
            ready.push_back(i);
        }
    }
    std::vector<bool> nullable(n_rules);
    while (!ready.empty()) {
        const uint32_t rule = alternatives[ready.back()].rule;
        ready.pop_back();
        if (nullable[rule]) {
            continue;
        }
        nullable[rule] = true;
        for (const size_t user : users[rule]) {
            if (--n_missing[user] == 0) {
                ready.push_back(user);
            }
        }
    }
    return nullable;
}

struct Edge {
    uint32_t to;
    bool grows; // more elements follow, so that each return to the rule adds work
};

using Edges = std::vector<std::vector<Edge>>;

// Return edges from each rule to the rules that it may enter before it reads a character.
Edges left_edges(const std::vector<Alternative>& alternatives, const std::vector<bool>& nullable) {
    Edges edges(nullable.size());
    for (const Alternative& alternative : alternatives) {
        for (const auto* at = alternative.begin; at != alternative.end; ++at) {
            if (at->type != LLAMA_GRETYPE_RULE_REF) {
                break;
            }
            edges[alternative.rule].push_back({at->value, at + 1 != alternative.end});
            if (!nullable[at->value]) {
                break;
            }
        }
    }
    return edges;
}

// Tarjan's strongly connected components, without recursion. An edge between two components always leads to
// the smaller number.
class Components {
public:
    explicit Components(const Edges& edges)
        : of(edges.size(), unset), edges_(edges), index_(edges.size(), unset), low_(edges.size()) {
        for (uint32_t rule = 0; rule < edges.size(); ++rule) {
            if (index_[rule] == unset) {
                visit(rule);
            }
        }
    }

    std::vector<uint32_t> of;                   // by rule: its component
    std::vector<std::vector<uint32_t>> members; // by component: its rules

private:
    static constexpr uint32_t unset = std::numeric_limits<uint32_t>::max();

    struct Frame {
        uint32_t rule;
        size_t next_edge;
    };

    void enter(uint32_t rule) {
        index_[rule] = low_[rule] = n_indices_++;
        open_.push_back(rule);
        frames_.push_back({rule, 0});
    }

    void visit(uint32_t root) {
        enter(root);
        while (!frames_.empty()) {
            Frame& frame = frames_.back();
            const uint32_t rule = frame.rule;
            if (frame.next_edge < edges_[rule].size()) {
                const uint32_t to = edges_[rule][frame.next_edge++].to;
                if (index_[to] == unset) {
                    enter(to);
                } else if (of[to] == unset) {
                    low_[rule] = std::min(low_[rule], index_[to]);
                }
                continue;
            }
            frames_.pop_back();
            if (!frames_.empty()) {
                const uint32_t parent = frames_.back().rule;
                low_[parent] = std::min(low_[parent], low_[rule]);
            }
            if (low_[rule] == index_[rule]) {
                close(rule);
            }
        }
    }

    void close(uint32_t rule) {
        members.emplace_back();
        uint32_t member = unset;
        while (member != rule) {
            member = open_.back();
            open_.pop_back();
            of[member] = static_cast<uint32_t>(members.size() - 1);
            members.back().push_back(member);
        }
    }

    const Edges& edges_;
    std::vector<uint32_t> index_;
    std::vector<uint32_t> low_;
    std::vector<uint32_t> open_;
    std::vector<Frame> frames_;
    uint32_t n_indices_ = 0;
};

} // namespace

LeftStructure analyse(const llama_grammar_rules& rules) {
    constexpr uint64_t plenty = uint64_t{1} << 40; // a cap; sums of it over all edges do not overflow
    const std::vector<Alternative> alternatives = alternatives_of(rules);
    const Edges edges = left_edges(alternatives, nullable_rules(alternatives, rules.size()));
    const Components components(edges);

    LeftStructure found;
    std::vector<uint64_t> chain(components.members.size());
    std::vector<uint64_t> paths(components.members.size());
    for (uint32_t component = 0; component < components.members.size(); ++component) {
        const auto& members = components.members[component];
        uint64_t below = 0;
        paths[component] = members.size();
        for (const uint32_t rule : members) {
            for (const Edge& edge : edges[rule]) {
                const uint32_t to = components.of[edge.to];
                if (to != component) {
                    below = std::max(below, chain[to]);
                    paths[component] = std::min(plenty, paths[component] + paths[to]);
                } else if (edge.grows && !found.left_recursive) {
                    found.left_recursive = rule;
                }
            }
        }
        chain[component] = below + members.size();
        found.longest_chain = std::max(found.longest_chain, chain[component]);
        found.most_paths = std::max(found.most_paths, paths[component]);
    }
    return found;
}

} // namespace xlc::gbnf
