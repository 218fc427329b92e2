# What a repository cannot hold: modes, links that lead elsewhere, directories without files.
set -e
mkdir -p modes/d700 links empty/inner
for mode in 600 755 2755 400; do
  echo $mode > modes/m$mode
  chmod $mode modes/m$mode
done
chmod 700 modes/d700
echo x > modes/d700/f
ln -s ../conf/a.yml links/rel
ln -s /etc/passwd links/abs
ln -s conf linkdir
ln conf/a.yml conf/hard.yml
touch secret.txt x.tmp conf/deep.tmp log10
