/* compiler/product.h -- private to compiler/: a model's objects become one file. */
#ifndef SSMC_COMPILER_PRODUCT_H
#define SSMC_COMPILER_PRODUCT_H

#include "compiler/internal.h"

/* What is linked. */
typedef struct {
    ProductKind kind;
    Arena *arena;
    const Listener *listener;
    const char *out;    /* the file to write */
    RtTemporary dir;    /* beside it: for objects and the product until it is whole */
    const char *arch;   /* x86_64 or aarch64 */
    const char *symbol; /* prefix of what the model exports */
    const char **objects;
    int nobjects;
    bool files; /* weights are in files */
} Product;

/* A new folder beside out for what is being made. False: the fault was told. */
bool product_begin(Product *p);
void product_end(Product *p);                                 /* removes it */
const char *product_file(const Product *p, const char *name); /* in that folder */

/* Objects to the product, whole or not at all; an exit status. */
int product_link(const Product *p);

/* The C header of a library. */
void product_header(StrBuf *out, const CgExport *model, const CgVariant *variants, int count);

/* compiler/depfile.c: the rule of a product's name, and of the files it is made of. False: one of
 * the names cannot be said in a rule. */
bool product_depfile(StrBuf *out, const Job *job, const char *product);

/* compiler/tool.c: runs a tool of the system, which keeps its own files in p->dir; an exit status.
 */
int tool_run(const Product *p, const char *const *argv);

#endif
