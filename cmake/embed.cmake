# cmake -DOUT=F.c -DROOT=DIR -DFILES="a.yaml;b.yaml" -P embed.cmake
# Writes F.c: the files as byte arrays, listed in fe_embedded (frontend/embed.h) by their path under ROOT.
set(arrays "")
set(rows "")
set(index 0)
foreach(file IN LISTS FILES)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n    "
         bytes "${bytes}")
  file(RELATIVE_PATH name ${ROOT} ${file})
  string(APPEND arrays "/* ${name} */\nstatic const unsigned char file_${index}[] = {\n    ${bytes}0x00};\n\n")
  string(APPEND rows "    {\"${name}\", (const char *)file_${index}, sizeof file_${index} - 1},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUT}.new "/* Made by cmake/embed.cmake. */
#include \"frontend/embed.h\"

${arrays}const FeEmbedded fe_embedded[] = {
${rows}};
const int fe_embedded_count = ${index};
")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
