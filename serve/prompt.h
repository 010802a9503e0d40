/* serve/prompt.h -- private to serve/: the key prompt. */
#ifndef SSMC_SERVE_PROMPT_H
#define SSMC_SERVE_PROMPT_H

#include "serve/answer.h"

enum { MOST_CHOICES = 128 };

/* The prompts of a request, at most so many; NULL: the exchange has a fault. */
Prompt *prompts_read(Exchange *ex, int most, int *n);

#endif
