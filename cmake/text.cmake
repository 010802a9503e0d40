# cmake -DOUT=F.c -DNAME=symbol -DFILE=F -P text.cmake
# Writes F.c: the file's text as `const char symbol[]`.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n    "
       bytes "${bytes}")
file(WRITE ${OUT}.new "/* Made by cmake/text.cmake. */
extern const char ${NAME}[];
const char ${NAME}[] = {
    ${bytes}0x00};
")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
