/* codegen/gpu_model.h -- private to codegen/: C functions in the place of a GPU, so that code made
 * for one can be run on any CPU (compile.device=model). */
#ifndef SSMC_CODEGEN_GPU_MODEL_H
#define SSMC_CODEGEN_GPU_MODEL_H

#include "codegen/matrix_model.h"

extern const ModelFunction gpu_model[];
extern const int gpu_model_count;

#endif
