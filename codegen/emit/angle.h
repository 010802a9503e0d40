/* codegen/emit/angle.h -- private to codegen/: cosines and sines of positions, for emitters of CPUs
 * and GPUs. */
#ifndef SSMC_CODEGEN_ANGLE_H
#define SSMC_CODEGEN_ANGLE_H

#include "codegen/emit/cg.h"

typedef struct {
    Val cosine, sine; /* <lanes x float> */
} CgAngle;

/* The frequencies in read-only memory, f64, zeros behind them for a vector more. */
Val cg_frequencies(Cg *c, const Node *angles, int64_t half);
/* Of <lanes x double> radians, up to 2^31 of them; both times scale. */
CgAngle cg_angle(Cg *c, Val radians, double scale);

#endif
