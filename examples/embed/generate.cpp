// examples/embed/generate.cpp -- a compiled model inside a C++ program: the ids of a text on
// standard input, the likeliest N ids that follow on standard output. generate [N [CHECKPOINT]]
#include "model.h"

#include "ssmc.hpp"

#include <iostream>

static void
generate(int count, const char *weights)
{
    ssmc_opening how = {};
    how.weights = weights;
    const ssmc::Model model(model_compiled(), how);
    ssmc::Session session(model);
    ssmc::Sampler draw(model); // temperature 0: the likeliest
    ssmc::Ids ids;
    for (std::int32_t id; std::cin >> id;)
        ids.push_back(id);
    ssmc::Logits logits = session.prefill(ids);
    for (std::int32_t id = 0, i = 0; i < count; i++) {
        if (i > 0)
            logits = session.step({0}, {id});
        id = draw(logits);
        std::cout << id << ' ';
    }
    std::cout << '\n';
}

int
main(int argc, char **argv)
try {
    generate(argc > 1 ? std::stoi(argv[1]) : 32, argc > 2 ? argv[2] : nullptr);
    return std::cout.flush() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception &e) {
    std::cerr << "generate: " << e.what() << '\n';
    return EXIT_FAILURE;
}
