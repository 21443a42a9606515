# SPDX-License-Identifier: BSL-1.0
# Sluice for the Asio without Boost: writes a copy of this tree's include and src to DESTINATION, in which Boost's
# names are Asio's own and the standard library's. Only what has changed is written again.
#
# A copy and not aliases: what a program finds in namespace boost is Boost, whether it has one or not, and no
# header of Sluice's stands where Boost's are looked for.
function(sluice_write_standalone destination)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
    "${PROJECT_SOURCE_DIR}/include/*.hpp" "${PROJECT_SOURCE_DIR}/src/*.hpp" "${PROJECT_SOURCE_DIR}/src/*.cpp"
    "${PROJECT_SOURCE_DIR}/src/*.cppm")
  foreach(file IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${file}")
    file(READ "${PROJECT_SOURCE_DIR}/${file}" text)
    foreach(rename IN ITEMS
        "<boost/asio=><asio"
        "<boost/system/error_code.hpp>=><system_error>"
        "<boost/system/system_error.hpp>=><system_error>"
        "namespace asio = boost::asio=>namespace asio = ::asio"
        "boost::asio=>asio"
        "boost::system::errc::make_error_condition=>std::make_error_condition"
        "boost::system::=>std::"
        "BOOST_ASIO_=>ASIO_")
      string(REGEX MATCH "^(.*)=>(.*)$" rename "${rename}")
      string(REPLACE "${CMAKE_MATCH_1}" "${CMAKE_MATCH_2}" text "${text}")
    endforeach()
    set(written "")
    if(EXISTS "${destination}/${file}")
      file(READ "${destination}/${file}" written)
    endif()
    if(NOT "${written}" STREQUAL "${text}")
      file(WRITE "${destination}/${file}" "${text}")
    endif()
  endforeach()
endfunction()
