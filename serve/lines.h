/* serve/lines.h -- private to serve/: limits of an answer that are told by its lines. */
#ifndef SSMC_SERVE_LINES_H
#define SSMC_SERVE_LINES_H

#include "serve/answer.h"

/* Whether the answer is to end, as raw, which got longer than `before`, shows. Raw may be cut. */
bool lines_end(Choice *choice, size_t before);

#endif
