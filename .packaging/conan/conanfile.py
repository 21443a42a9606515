import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load
from conan.tools.scm import Version


class SluiceRecipe(ConanFile):
    """Run from here: conan create .packaging/conan"""

    name = "sluice"
    description = "Go's concurrency for C++20 on Boost.Asio"
    license = "BSL-1.0"
    topics = ("asio", "channels", "coroutines", "goroutines", "select")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "../../include/sluice/version.hpp"))
        number = int(re.search(r"#define SLUICE_VERSION (\d+)", header).group(1))
        self.version = f"{number // 100000}.{number // 100 % 1000}.{number % 100}"

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "../..")
        for pattern in ("CMakeLists.txt", "LICENSE", "include/*", "src/*"):
            copy(self, pattern, root, self.export_sources_folder)

    def config_options(self):
        if self.settings.os == "Windows":
            del self.options.fPIC

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")

    def requirements(self):
        # The layout of Asio's objects is part of the library's: see package_id.
        self.requires("boost/[>=1.81]", transitive_headers=True)

    def package_id(self):
        # A program and the library have to be built with the same Boost.
        self.info.requires["boost"].full_version_mode()

    def validate(self):
        check_min_cppstd(self, 20)
        oldest = {"gcc": "11", "clang": "15"}.get(str(self.settings.compiler))
        if oldest and Version(self.settings.compiler.version) < oldest:
            raise ConanInvalidConfiguration(f"Sluice needs {self.settings.compiler} {oldest} or newer")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["SLUICE_BUILD_TESTS"] = False
        toolchain.cache_variables["SLUICE_BUILD_EXAMPLES"] = False
        toolchain.cache_variables["SLUICE_INSTALL"] = True
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        self.cpp_info.libs = ["sluice"]
        self.cpp_info.requires = ["boost::headers"]
        self.cpp_info.set_property("cmake_file_name", "sluice")
        self.cpp_info.set_property("cmake_target_name", "sluice::sluice")
        self.cpp_info.set_property("pkg_config_name", "sluice")
        if self.options.shared:
            self.cpp_info.defines = ["SLUICE_SHARED"]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
        if self.settings.os == "Windows":
            self.cpp_info.system_libs = ["ws2_32", "mswsock"]
