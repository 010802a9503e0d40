/* driver/gen/symbols.c -- which symbols libssmc shows, under which versions (runtime/exports.def).
 */
#define _GNU_SOURCE /* strverscmp */
#include <string.h>

#include "driver/gen/gen.h"

typedef struct {
    const char *name, *since;
} Symbol;

/* Rows of one version stand together, older ones first: each new version's go to the end. Another
 * order ends the build. */
static const Symbol symbols[] = {
#define EXPORT(name, where, since) {#name, #since},
#include "runtime/exports.def"
#undef EXPORT
};

/* Whether row i is the first of its version. */
static bool
begins(size_t i)
{
    const int order = i == 0 ? 1 : strverscmp(symbols[i].since, symbols[i - 1].since);
    if (order < 0)
        die("runtime/exports.def: %s is of an older version than the row before it",
            symbols[i].name);
    return order > 0;
}

void
gen_version_script(StrBuf *out)
{
    const char *before = "";
    for (size_t i = 0; i < COUNT_OF(symbols); i++) {
        if (begins(i))
            sb_printf(out, "SSMC_%s {\n  global:\n", symbols[i].since);
        sb_printf(out, "    %s;\n", symbols[i].name);
        const bool ends = i + 1 == COUNT_OF(symbols) || begins(i + 1);
        if (!ends)
            continue;
        if (before[0])
            sb_printf(out, "} SSMC_%s;\n", before);
        else
            sb_puts(out, "  local: *;\n};\n");
        before = symbols[i].since;
    }
}

void
gen_deb_symbols(StrBuf *out)
{
    sb_puts(out, "libssmc.so." SSMC_SOVERSION " libssmc" SSMC_SOVERSION " #MINVER#\n");
    for (size_t i = 0; i < COUNT_OF(symbols); i++)
        if (begins(i))
            sb_printf(out, " SSMC_%s@SSMC_%s %s\n", symbols[i].since, symbols[i].since,
                      symbols[i].since);
    for (size_t i = 0; i < COUNT_OF(symbols); i++)
        sb_printf(out, " %s@SSMC_%s %s\n", symbols[i].name, symbols[i].since, symbols[i].since);
}

void
gen_deb_shlibs(StrBuf *out)
{
    sb_puts(out, "libssmc " SSMC_SOVERSION " libssmc" SSMC_SOVERSION " (>= " SSMC_VERSION ")\n");
}
