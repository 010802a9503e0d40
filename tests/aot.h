/* tests/aot.h -- compiling models in tests: products in a directory of the test. */
#ifndef SSMC_TESTS_AOT_H
#define SSMC_TESTS_AOT_H

#include "tests/harness.h"

#define AOT_STORY SSMC_ROOT "/examples/storyteller.yaml"
#define AOT_SMALL SSMC_ROOT "/tests/goldens/mamba2-base"
#define AOT_IDS   AOT_SMALL "/golden.safetensors"

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The command with arguments; argv ends with NULL and has no program name. */
CommandResult aot_ssmc(const char *const *args);
/* Runs the command, which must end with status 0. */
void aot_ok(const char *const *args);
/* It must end with status 2 (or `status`), and stderr must hold every text of says. */
void aot_fault(int status, const char *const *args, const char *const *says);
/* Any program, found along PATH by /usr/bin/env. */
CommandResult aot_tool(const char *const *args);
bool aot_has_tool(const char *name);

/* ssmc compile MODEL -o DIR/NAME more...; the path, owned by the caller. */
char *aot_compile(const char *model, const char *dir, const char *name, const char *const *more);
/* The bytes of the logits of a file of ids, by the command; owned by the caller. */
char *aot_logits(const char *model, const char *ids, const char *const *more, size_t *len);

#endif
