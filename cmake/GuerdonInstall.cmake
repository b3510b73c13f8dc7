include(CMakePackageConfigHelpers)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/guerdon DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
