# Read by cpack before it packs: what the library needs, as dpkg-shlibdeps reads it off the file. CPack would ask for
# itself, but then also write scripts that call ldconfig, where Debian has a trigger.
set(dir ${CPACK_BINARY_DIR}/package/shlibdeps)
file(WRITE ${dir}/debian/control "Source: ssmc\n\nPackage: ${CPACK_DEBIAN_LIB_PACKAGE_NAME}\nArchitecture: any\n")
execute_process(COMMAND dpkg-shlibdeps -O ${CPACK_SSMC_LIBRARY} WORKING_DIRECTORY ${dir}
  OUTPUT_VARIABLE depends ERROR_VARIABLE why RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT status EQUAL 0 OR NOT depends MATCHES "^shlibs:Depends=(.+)$")
  message(FATAL_ERROR "dpkg-shlibdeps (package dpkg-dev) does not say what ${CPACK_SSMC_LIBRARY} needs: ${status} ${why}")
endif()
set(CPACK_DEBIAN_LIB_PACKAGE_DEPENDS "${CMAKE_MATCH_1}")
