# Run by cpack once each package's files are in a folder of their own: adds /usr/share/doc/PACKAGE.
file(READ ${CPACK_SSMC_LICENSE} license)
string(REGEX MATCH "Copyright [^\n]*" holder "${license}")
string(REGEX REPLACE "^Copyright (\\(c\\) )?" "" holder "${holder}")
string(REGEX REPLACE "^.*Copyright [^\n]*\n+" "" terms "${license}")
string(STRIP "${terms}" terms)
string(REGEX REPLACE "\n\n" "\n.\n" terms "${terms}")
string(REPLACE "\n" "\n " terms "${terms}")
set(copyright "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ssmc

Files: *
Copyright: ${holder}
License: Expat

License: Expat
 ${terms}
")

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(doc ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share/doc/${package})
  file(WRITE ${doc}/copyright "${copyright}")
  # SOURCE_DATE_EPOCH, where it is set, is that day: equal sources then make equal packages.
  string(TIMESTAMP day "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${doc}/changelog "ssmc (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * Version ${CPACK_PACKAGE_VERSION}.

 -- ${CPACK_PACKAGE_CONTACT}  ${day}
")
  execute_process(COMMAND gzip -9n ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)
endforeach()
