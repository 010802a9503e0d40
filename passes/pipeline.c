/* passes/pipeline.c -- which passes run, in which order. Nothing else. */
#include "passes/internal.h"

static const PassId prefill[] = {
    PASS_fold_params,   PASS_canon,  PASS_choose_form, PASS_lower_ssd, PASS_quantise,
    PASS_canon, /* again: two projections of one value want one cast of it, not two */
    PASS_choose_matmul, PASS_layout, PASS_fuse,        PASS_partition, PASS_memplan,
};

/* The same passes: what differs (the recurrent form) is chosen by choose_form. */
static const PassId decode[] = {
    PASS_fold_params,   PASS_canon,  PASS_choose_form, PASS_lower_ssd, PASS_quantise,
    PASS_canon, /* again: as in prefill */
    PASS_choose_matmul, PASS_layout, PASS_fuse,        PASS_partition, PASS_memplan,
};

Pipeline
pipeline_of(Phase phase)
{
    switch (phase) {
    case PHASE_PREFILL:
        return (Pipeline){prefill, COUNT_OF(prefill)};
    case PHASE_DECODE:
        return (Pipeline){decode, COUNT_OF(decode)};
    }
    die("phase %d has no pipeline", (int)phase);
}
