"""A small Django project as the files of ``deploy/`` expect one, with settings of production."""
