/* tests/xml.h -- whether a page is well-formed: elements closed in order, attributes quoted and
 * each once, no loose & or < but in scripts. Small on purpose: no entity but the five, no CDATA,
 * comments or instructions but the document type. */
#ifndef SSMC_TESTS_XML_H
#define SSMC_TESTS_XML_H

#include <stdbool.h>

/* False: why (static text or a copy in buffer `why` [200]) and where. */
bool xml_is_well_formed(const char *text, char why[200]);
/* Occurrences of a text. */
int text_count(const char *text, const char *what);

#endif
