# The archives that the Dockerfile adds.
set -e
mkdir -p t/wordpress/wp-content/themes t/wordpress/wp-content/plugins t/assets/css
echo '<?php' > t/wordpress/index.php
chmod 640 t/wordpress/index.php
ln -s index.php t/wordpress/alias.php
ln t/wordpress/index.php t/wordpress/wp-content/hard.php
echo css > t/assets/css/x
tar -C t --owner=7 --group=8 --numeric-owner -czf wordpress.tar.gz wordpress
tar -C t/assets --owner=0 --group=0 -czf assets.tar.gz css
rm -r t
