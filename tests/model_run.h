/* tests/model_run.h -- a model opened in this process the way the command opens it, for tests of
 * the runtime over real kernels. Whatever fails aborts with a message. */
#ifndef SSMC_TESTS_MODEL_RUN_H
#define SSMC_TESTS_MODEL_RUN_H

#include "runtime/rt.h"

typedef struct ModelRun ModelRun;
/* args: MODEL and options as `ssmc run` takes them, NULL-terminated. */
ModelRun *model_run_open(const char *const *args);
void model_run_close(ModelRun *run);
const ssmc_model *model_run_model(const ModelRun *run);
const ssmc_program *model_run_program(const ModelRun *run);
const ssmc_weights *model_run_weights(const ModelRun *run);
ssmc_session *model_run_session(const ModelRun *run, int sequences, int threads);

/* n made-up ids below the model's vocabulary, different for each `kind`. */
void model_run_ids(const ModelRun *run, int kind, int32_t *ids, int64_t n);

#define MODEL_RUN(...) model_run_open((const char *const[]){__VA_ARGS__, NULL})
#define STORYTELLER    SSMC_ROOT "/examples/storyteller.yaml"
#define HYBRID         SSMC_ROOT "/tests/data/hybrid/hybrid.yaml" /* SSD, attention, a window */

#endif
