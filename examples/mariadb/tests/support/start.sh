#!/bin/sh
# Makes the database at the first start, as the official image does, and runs the server.
set -eu
data=/var/lib/mysql
if [ ! -d "$data/mysql" ]; then
  mkdir -p "$data"
  {
    # One statement a line: so it is read while there is no server yet.
    echo "CREATE DATABASE mysql;"
    echo "USE mysql;"
    cat /usr/share/mysql/mysql_system_tables.sql /usr/share/mysql/mysql_system_tables_data.sql
    echo "FLUSH PRIVILEGES;"
    echo "CREATE DATABASE \`$MARIADB_DATABASE\`;"
    echo "CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';"
    echo "GRANT ALL ON \`$MARIADB_DATABASE\`.* TO '$MARIADB_USER'@'%';"
  } | mariadbd --no-defaults --bootstrap --user=root --datadir="$data" \
    --innodb-log-file-size=4M --skip-log-bin
fi
exec mariadbd --no-defaults --user=root --datadir="$data" --innodb-log-file-size=4M \
  --bind-address=0.0.0.0 --socket=/tmp/mariadb.sock --skip-name-resolve "$@"
