/* frontend/build.h -- private to frontend/: model and blocks to a graph. */
#ifndef SSMC_FRONTEND_BUILD_H
#define SSMC_FRONTEND_BUILD_H

#include "frontend/block.h"
#include "frontend/family.h"

/* A layer's or the frame's block with its parameters: everything computed, nothing in the graph
 * yet. */
typedef struct {
    const Block *block;
    SrcLoc user; /* where the model asks for it */
    Scope scope; /* parameters and sizes, above those of the model */
    bool present[BLOCK_MAX_WEIGHTS];
    Type type[BLOCK_MAX_WEIGHTS];
    SrcLoc loc[BLOCK_MAX_WEIGHTS]; /* what the user wrote that gives the weight its rows */
    FeShape shape[BLOCK_MAX_WEIGHTS];
    const Tree **ops; /* the statements whose condition is true */
    int nops;
} Prepared;

/* frontend/prepare.c. entry: the layer's map, or NULL for the frame. NULL: faults are in diag. */
Prepared *block_prepare(Arena *arena, const Block *block, const Tree *entry, const Scope *model,
                        SrcLoc user, Diag *diag);

/* A model's values, read and checked. */
typedef struct {
    const char *name;
    const FeValue *keys; /* [KEY_COUNT] */
    const BlockSet *blocks;
    const TensorNames *tensors;
} ModelParts;
/* Layers in order, in the shape of the model's list. */
typedef enum {
    PLAN_BLOCK,
    PLAN_LAYERS,  /* a group of layers */
    PLAN_PARTS,   /* one layer: blocks one after the other */
    PLAN_PARALLEL /* one layer: blocks that start from the same `in` */
} PlanKind;
typedef struct Plan Plan;
struct Plan {
    PlanKind kind;
    const Prepared *prepared; /* of a block */
    const char *name;         /* of a block among others of its layer; NULL: none */
    const char *share;        /* name of the weights that layers share; NULL: they are its own */
    int64_t repeat;
    int64_t layers; /* of the whole: how many there are */
    Plan *inner;    /* ninner of the others */
    int ninner;
};

/* frontend/hybrid.c. Makes as many mixers of a plan attention as the key `attention` says;
 * everywhere: a layer's entry, which has what was put everywhere. *added: a block that the model
 * had none of; NULL: none. False: faults are in diag. */
bool plan_hybrid(Arena *arena, const ModelParts *parts, const Scope *scope, const Tree *everywhere,
                 Diag *diag, Plan *plan, const Block **added);

/* frontend/plan.c. Fills scope with the model's values that blocks may compute with, out with the
 * layers. False: faults are in diag. */
bool plan_layers(Arena *arena, const ModelParts *parts, Scope *scope, Diag *diag, Plan *out);
/* The block around the layers, with its parameters. NULL: faults are in diag. */
Prepared *plan_frame(Arena *arena, const ModelParts *parts, const Scope *scope, Diag *diag);

/* Fills graph and shapes. False: faults are in diag. */
bool model_build(Arena *arena, const ModelParts *parts, Diag *diag, FeModel *out);

#endif
