/* serve/fields.h -- private to serve/: response_fields. */
#ifndef SSMC_SERVE_FIELDS_H
#define SSMC_SERVE_FIELDS_H

#include "serve/request.h"

/* Puts a JSON object: of that in text all, or the fields that the request names, where it names
 * some. "timings/prompt_n" is that field of the object timings, under this name; one that is not
 * there is left out. */
void fields_put(const Body *request, const StrBuf *text, StrBuf *out);

#endif
