# In place of OpenWrt's rules.mk and package.mk: builds the one package for this machine, and installs it
# into $(ROOT).

INCLUDE_DIR = $(TOPDIR)
PKG_BUILD_DIR = $(TOPDIR)/build_dir/$(PKG_NAME)-$(PKG_VERSION)
CP = cp -fpR
INSTALL_DIR = install -d -m 755
INSTALL_BIN = install -m 755
INSTALL_CONF = install -m 600

define BuildPackage
$(Package/$(1))
all:
	$(Build/Prepare)
	$$(MAKE) -C $$(PKG_BUILD_DIR) $$(MAKE_FLAGS)
	$(call Package/$(1)/install,$(ROOT))
	@echo $$(PKG_VERSION) >$(ROOT)/version
	@echo $$(DEPENDS) >$(ROOT)/depends
endef
