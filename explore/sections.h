/* explore/sections.h -- private to explore/: the page of ssmc explore, section by section. */
#ifndef SSMC_EXPLORE_SECTIONS_H
#define SSMC_EXPLORE_SECTIONS_H

#include "explore/explore.h"
#include "explore/page.h"

typedef struct {
    const ExploreTable *table;
    ExplorePanel *panels;
    int npanels;
    ExploreChoices choices;
} ExploreResults;

/* A section writes into page->out what comes below its title; nothing: there is none. */
#define SECTION(id, title) void page_##id(Page *page, const ExploreResults *results);
#include "explore/sections.def"
#undef SECTION

/* The panel with most threads and the longest prompts of those that differ in these alone. */
bool panel_is_main(const ExploreResults *results, const ExplorePanel *panel);

#endif
