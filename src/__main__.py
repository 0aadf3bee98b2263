"""`python src`: the program from the source beside MLproject, without any installation."""

from reproven.cli import main

if __name__ == "__main__":
    main(prog_name="reproven")
