/* codegen/matrix_model.h -- private to codegen/: C functions in the place of a matrix unit's
 * instructions, so that code made for one can be run on any CPU (compile.matrix=model). */
#ifndef SSMC_CODEGEN_MATRIX_MODEL_H
#define SSMC_CODEGEN_MATRIX_MODEL_H

/* Symbols that such code calls. */
typedef struct {
    const char *name;
    void *function;
} ModelFunction;
extern const ModelFunction matrix_model[];
extern const int matrix_model_count;

#endif
