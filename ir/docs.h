/* ir/docs.h -- the .def tables of this folder as text. */
#ifndef SSMC_IR_DOCS_H
#define SSMC_IR_DOCS_H

#include "ir/util.h"

/* Markdown tables of the ops, attributes and element types, as in ir/IR.md (`ssmc help ops`). */
void ir_docs(StrBuf *out);

#endif
