# A package, in place of those that a mirror has.
set -e
mkdir -p packages p/DEBIAN p/etc/corpus p/usr/bin
echo corpus > p/etc/corpus/name
printf '#!/bin/sh\necho picked\n' > p/usr/bin/corpus
ln p/usr/bin/corpus p/usr/bin/corpus-old
chmod 755 p/usr/bin/corpus
printf 'Package: corpus\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n' > p/DEBIAN/control
printf '/etc/corpus/name\n' > p/DEBIAN/conffiles
chmod -R go-w p
dpkg-deb --root-owner-group --build p packages/corpus.deb
rm -r p
