/* passes/pipeline.c -- which passes run, in which order. Nothing else. */
#include "passes/internal.h"

const PassId pipeline[] = {
    PASS_fold_params,
    PASS_canon,
    PASS_choose_form,
    PASS_lower_ssd,
    PASS_lower_attention,
    PASS_divide,
    PASS_quantise,
    PASS_factor_norm,
    PASS_conv_columns,
    PASS_canon,
    /* again: two projections of one value want one cast of it, not two */
    PASS_choose_matmul,
    PASS_layout,
    PASS_candidates,
    PASS_fuse,
    PASS_partition,
    PASS_memplan,
};
const int pipeline_count = (int)COUNT_OF(pipeline);
